package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// readEnv reads --env-file and --env. The last that has a name wins.
func readEnv(files, given []string) (env []corev1.EnvVar, err error) {
	for _, file := range files {
		one, err := readEnvFile(file)
		if err != nil {
			return nil, err
		}
		env = append(env, one...)
	}
	for _, text := range given {
		v, err := parseEnv(text)
		if err != nil {
			return nil, fmt.Errorf("--env: %w", err)
		}
		env = append(env, v)
	}
	return env, nil
}

// readEnvFile reads lines of NAME=VALUE. Lines that are empty or begin with # are left out,
// and so are "export " before a name, quotes around a value, and a comment after them.
func readEnvFile(path string) (env []corev1.EnvVar, err error) {
	file, err := os.Open(path) //nolint:gosec // the user's own
	if err != nil {
		return nil, fmt.Errorf("read --env-file: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was read
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		v, err := parseEnv(strings.TrimPrefix(text, "export "))
		if err != nil {
			return nil, fmt.Errorf("--env-file %s, line %d: %w", path, n, err)
		}
		v.Value = unquoted(v.Value)
		env = append(env, v)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read --env-file %s: %w", path, err)
	}
	return env, nil
}

// unquoted is a value without the quotes around it, and without a comment after them.
func unquoted(text string) string {
	if text == "" || !strings.Contains(`"'`, text[:1]) {
		return text
	}
	quote, bare := text[:1], text[1:]
	for end := range len(bare) {
		rest := bare[end:]
		if after, is := strings.CutPrefix(rest, quote); is && (after == "" || isComment(after)) {
			return bare[:end]
		}
	}
	return text
}

func isComment(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t"), "#") && !strings.HasPrefix(text, "#")
}

// parseEnv reads NAME=VALUE. What is no name, as the beginning of a key in base64, may be a
// secret, and is not shown.
func parseEnv(text string) (v corev1.EnvVar, err error) {
	name, value, is := strings.Cut(text, "=")
	if !is {
		return v, fmt.Errorf("there is no = in it: it must be NAME=VALUE")
	}
	if wrong := validation.IsEnvVarName(name); len(wrong) > 0 {
		return v, fmt.Errorf("what stands before the = is no name, and is not shown: %s", strings.Join(wrong, ", "))
	}
	if strings.Contains(value, "\x00") {
		return v, fmt.Errorf("the value of %s has a NUL in it, which no environment can have", name)
	}
	switch name {
	case "PORT", "TMPDIR":
		return v, fmt.Errorf("%s is another for each session, and is set here", name)
	}
	return corev1.EnvVar{Name: name, Value: value}, nil
}
