// Package crd holds the CustomResourceDefinitions as files, for programs that carry them.
package crd

import "embed"

// Bases are the CustomResourceDefinitions, one a file.
//
//go:embed bases/*.yaml
var Bases embed.FS
