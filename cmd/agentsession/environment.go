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
// and so are "export " before a name and quotes around a value.
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
		for _, quote := range []string{`"`, "'"} {
			if bare, is := strings.CutPrefix(v.Value, quote); is && strings.HasSuffix(bare, quote) {
				v.Value = strings.TrimSuffix(bare, quote)
				break
			}
		}
		env = append(env, v)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read --env-file %s: %w", path, err)
	}
	return env, nil
}

// parseEnv reads NAME=VALUE. A value that has no name may be a secret, and is not shown.
func parseEnv(text string) (v corev1.EnvVar, err error) {
	name, value, is := strings.Cut(text, "=")
	if !is {
		return v, fmt.Errorf("there is no = in it: it must be NAME=VALUE")
	}
	if wrong := validation.IsEnvVarName(name); len(wrong) > 0 {
		return v, fmt.Errorf("the name is %q: %s", name, strings.Join(wrong, ", "))
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
