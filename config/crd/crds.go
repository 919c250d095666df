// Package crd holds the CustomResourceDefinitions, for programs that carry them.
package crd

import (
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed bases/*.yaml
var bases embed.FS

// Definitions are those of all kinds, as their files have them.
func Definitions() (all []*apiextensionsv1.CustomResourceDefinition, err error) {
	files, err := fs.Glob(bases, "bases/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("find the CustomResourceDefinitions: %w", err)
	}
	for _, file := range files {
		text, err := bases.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a CustomResourceDefinition: %w", err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, definition); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		all = append(all, definition)
	}
	return all, nil
}
