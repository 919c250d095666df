package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// packageChart has helm package the chart, and packs it anew: helm writes the time of
// each file into the archive.
func (r release) packageChart(ctx context.Context) error {
	dir, err := os.MkdirTemp(r.dir, "chart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the directory of what is made
	command := exec.CommandContext(ctx, "go", "tool", "-modfile=hack/tools/helm/go.mod", "helm", "package", "charts/"+program,
		"--version", strings.TrimPrefix(r.version, "v"), "--app-version", r.version, "--destination", dir)
	command.Dir = r.top
	if _, err := output(command); err != nil {
		return err
	}
	files, err := readTarGz(filepath.Join(dir, r.chart()))
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return writeTo(r.path(r.chart()), func(w io.Writer) error { return writeTarGz(w, files) })
}

// chart is the name that helm gives the file.
func (r release) chart() string { return program + "-" + strings.TrimPrefix(r.version, "v") + ".tgz" }

func readTarGz(path string) ([]file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was read only
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", path, err)
	}
	return readTar(unzipped)
}

func readTar(r io.Reader) ([]file, error) {
	var files []file
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", header.Name, err)
		}
		files = append(files, file{name: header.Name, mode: header.Mode & 0o777, data: data})
	}
}
