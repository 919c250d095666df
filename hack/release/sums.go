package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
)

const sumsFile = "SHA256SUMS"

// writeSums writes what `sha256sum -c` reads.
func (r release) writeSums(context.Context) error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, entry := range entries {
		sum, err := sumOf(r.path(entry.Name()))
		if err != nil {
			return err
		}
		lines.WriteString(sum + "  " + entry.Name() + "\n")
	}
	return os.WriteFile(r.path(sumsFile), []byte(lines.String()), 0o644)
}

func sumOf(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
