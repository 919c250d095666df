package main

import (
	"regexp"
	"strings"
	"unicode"
)

// redacted stands where a secret was, or what looks like one.
const redacted = "<redacted>"

// secretWord is in the names of what is secret: of variables, flags, headers and fields.
const secretWord = `(?:token|passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|credential|signature)` //nolint:gosec // it is an expression

var (
	// secretName is the name of something secret, and secretFlag an argument that the next one
	// is the value of.
	secretName = regexp.MustCompile(`(?i)` + secretWord)
	secretFlag = regexp.MustCompile(`(?i)^--?[\w.-]*` + secretWord + `[\w.-]*$`)
	// secretTexts are secrets in a text. What their groups have stays, before and after.
	secretTexts = []*regexp.Regexp{
		regexp.MustCompile(`()-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`),
		regexp.MustCompile(`(?i)((?:authorization|cookie)(?:\\?["'])?[ \t]*[=:][ \t]*(?:\\?["'])?)[^\r\n"'\\]+`),
		regexp.MustCompile(`(?i)(\bbearer[ \t]+)[\w.~+/=-]{8,}`),
		regexp.MustCompile(`(://)[^\s/@"']+(@)`), // user and password of a URL
		regexp.MustCompile(`()\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?`),
		regexp.MustCompile(`()\b(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{12,}\b`),
		regexp.MustCompile(`()\b(?:sk-|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-)[\w-]{16,}`),
		regexp.MustCompile(`(?i)([\w.-]*` + secretWord + `[\w.-]*(?:\\?["'])?[ \t]*[=:][ \t]*)` + secretValue),
		regexp.MustCompile(`(?i)((?:^|[\s"'])--?[\w.-]*` + secretWord + `[\w.-]*[ \t]+)(?:[^\s"'-][^\s"']*|"[^"]*"|'[^']*')`),
	}
	// longWord is what may be a secret access key of AWS: those have 40 characters.
	longWord = regexp.MustCompile(`[A-Za-z0-9/+=]{40,}`)
)

// secretValue is a value in a text: JSON's, such in a string of JSON, a shell's, or a word.
const secretValue = `(?:"(?:[^"\\]|\\.)*"|\\"(?:[^"\\]|\\[^"])*\\"|'[^']*'|[^\s"',;&}\\]+)` //nolint:gosec // as above

// redactText takes what looks like a secret out of a text.
func redactText(text string) string {
	for _, secret := range secretTexts {
		text = secret.ReplaceAllString(text, "${1}"+redacted+"${2}")
	}
	return longWord.ReplaceAllStringFunc(text, func(word string) string {
		if len(word) == 40 && strings.IndexFunc(word, unicode.IsUpper) >= 0 && strings.IndexFunc(word, unicode.IsLower) >= 0 {
			return redacted // and no commit, which is hexadecimal
		}
		return word
	})
}

// redactObject takes out of an object of Kubernetes what is secret or may be, and what nobody
// reads: values of environments and of probes' headers, and what kubectl and others keep there.
func redactObject(o map[string]any) {
	if metadata, ok := o["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
		}
	}
	for key, value := range o {
		o[key] = redactField(key, value)
	}
}

func redactField(key string, value any) any {
	switch value := value.(type) {
	case string:
		switch {
		case key == "image" || key == "imageID": // a tag is no value
			return value
		case value != "" && secretName.MatchString(key) && !strings.HasSuffix(strings.ToLower(key), "name"):
			return redacted
		}
		return redactText(value)
	case map[string]any:
		redactObject(value)
	case []any:
		for i := range value {
			value[i] = redactItem(key, value, i)
		}
	}
	return value
}

// redactItem redacts an item of the list that a field is.
func redactItem(key string, list []any, i int) any {
	item := list[i]
	if pair, ok := item.(map[string]any); ok && (key == "env" || key == "httpHeaders") {
		if _, ok := pair["value"]; ok {
			pair["value"] = redacted
		}
	}
	if flag, ok := previous(list, i); ok && (key == "args" || key == "command") && secretFlag.MatchString(flag) {
		return redacted
	}
	return redactField("", item)
}

func previous(list []any, i int) (string, bool) {
	if i == 0 {
		return "", false
	}
	text, ok := list[i-1].(string)
	return text, ok
}
