package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// file is one of an archive.
type file struct {
	name string
	mode int64
	data []byte
}

// packArchives packs the tool for each platform, as krew and people install it.
func (r release) packArchives(context.Context) error {
	for _, p := range r.platforms {
		files, err := readFiles(map[string]string{
			"LICENSE": filepath.Join(r.top, "LICENSE"), "README.md": filepath.Join(r.top, "README.md"),
			program: r.path(r.binary(program, p)),
		}, "LICENSE", "README.md", program)
		if err != nil {
			return err
		}
		files[len(files)-1].mode = 0o755
		if err := writeTo(r.path(r.archive(p)), func(w io.Writer) error { return writeTarGz(w, files) }); err != nil {
			return err
		}
	}
	return nil
}

func (r release) archive(p platform) string { return r.binary(program, p) + ".tar.gz" }

// readFiles reads the named files, in that order, each from its path.
func readFiles(paths map[string]string, names ...string) ([]file, error) {
	files := make([]file, 0, len(names))
	for _, name := range names {
		data, err := os.ReadFile(paths[name])
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: name, mode: 0o644, data: data})
	}
	return files, nil
}

// writeTarGz writes an archive that depends on names, modes and contents only.
func writeTarGz(w io.Writer, files []file) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := writeTar(zipped, files); err != nil {
		return err
	}
	return zipped.Close()
}

func writeTar(w io.Writer, files []file) error {
	archive := tar.NewWriter(w)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: epoch, Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := archive.Write(f.data); err != nil {
			return fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	return archive.Close()
}

// writeTo has a file written, and says whether that went well to the end.
func writeTo(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	return write(f)
}
