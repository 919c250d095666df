package main

import (
	"context"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/modfile"
)

// writeSBOMs writes a bill of materials for each binary, of what Go has put into it.
func (r release) writeSBOMs(context.Context) error {
	for _, p := range r.platforms {
		for _, program := range programs {
			name := r.binary(program.file, p)
			info, err := buildinfo.ReadFile(r.path(name))
			if err != nil {
				return err
			}
			sum, err := sumOf(r.path(name))
			if err != nil {
				return err
			}
			bom, err := r.billOf(info, program.file, sum)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := writeTo(r.path(name+".cdx.json"), func(w io.Writer) error {
				return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// billOf says what a binary is made of. It has no time and no serial number, with which
// no two would be equal.
func (r release) billOf(info *debug.BuildInfo, name, sum string) (*cdx.BOM, error) {
	main := cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: name, Version: r.version,
		PackageURL: "pkg:golang/" + info.Main.Path + "@" + r.version + "#" + strings.TrimPrefix(info.Path, info.Main.Path+"/"),
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}},
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: licence}}},
	}
	main.BOMRef = main.PackageURL
	components := []cdx.Component{library("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, dep := range info.Deps {
		component, err := r.componentOf(dep)
		if err != nil {
			return nil, err
		}
		components = append(components, component)
	}
	var refs []string
	dependencies := []cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	for _, c := range components {
		refs = append(refs, c.BOMRef)
		dependencies = append(dependencies, cdx.Dependency{Ref: c.BOMRef})
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &main, Properties: settings(info)}
	bom.Components, bom.Dependencies = &components, &dependencies
	return bom, nil
}

// componentOf is a module. What is replaced by a directory is of this repository.
func (r release) componentOf(dep *debug.Module) (cdx.Component, error) {
	switch {
	case dep.Replace != nil && modfile.IsDirectoryPath(dep.Replace.Path):
		return library(dep.Path, r.version), nil
	case dep.Replace != nil:
		dep = dep.Replace
	}
	c := library(dep.Path, dep.Version)
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(dep.Sum, "h1:"))
	if err != nil || len(sum) == 0 {
		return c, fmt.Errorf("module %s has the sum %q, which is none of Go's", dep.Path, dep.Sum)
	}
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	return c, nil
}

func library(path, version string) cdx.Component {
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: url, Name: path, Version: version, PackageURL: url}
}

// settings are how it was built, under the names of cyclonedx-gomod.
func settings(info *debug.BuildInfo) *[]cdx.Property {
	properties := []cdx.Property{{Name: "cdx:gomod:build:env:GOVERSION", Value: info.GoVersion}}
	for _, s := range info.Settings {
		switch s.Key {
		case "CGO_ENABLED", "GOARCH", "GOOS":
			properties = append(properties, cdx.Property{Name: "cdx:gomod:build:env:" + s.Key, Value: s.Value})
		}
	}
	return &properties
}
