package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is the Dockerfile's.
const user = "65532:65532"

// makeImages makes what the Dockerfile's stages do, of the binaries that are there: an
// index of all architectures in an OCI archive, for `skopeo copy --all` and for nodes.
func (r release) makeImages(context.Context) error {
	for _, program := range programs[1:] {
		index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, p := range r.platforms {
			if p.os != "linux" {
				continue
			}
			image, err := r.image(program.name, program.file, p)
			if err != nil {
				return err
			}
			index = mutate.AppendManifests(index, mutate.IndexAddendum{
				Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}},
			})
		}
		if err := r.writeImage(program.name, program.file, index); err != nil {
			return err
		}
	}
	return nil
}

func (r release) image(name, binary string, p platform) (v1.Image, error) {
	data, err := os.ReadFile(r.path(r.binary(binary, p)))
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	if err := writeTar(&packed, []file{{name: name, mode: 0o755, data: data}}); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "COPY " + name + " /" + name},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.os, p.arch, v1.Time{Time: epoch}
	config.Config = v1.Config{User: user, Entrypoint: []string{"/" + name}, Labels: map[string]string{
		"org.opencontainers.image.title":    binary,
		"org.opencontainers.image.version":  r.version,
		"org.opencontainers.image.source":   repository,
		"org.opencontainers.image.licenses": licence,
	}}
	return mutate.ConfigFile(image, config)
}

// writeImage writes the archive. The annotations say the image's name: the first is
// containerd's, the second that of skopeo and Docker.
func (r release) writeImage(name, binary string, index v1.ImageIndex) error {
	dir, err := os.MkdirTemp(r.dir, "layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the directory of what is made
	outer, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := outer.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          "docker.io/" + program + "/" + name + ":" + r.version,
		"org.opencontainers.image.ref.name": r.version,
	})); err != nil {
		return err
	}
	var files []file
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		files = append(files, file{name: filepath.ToSlash(relative), mode: 0o644, data: data})
		return err
	}); err != nil {
		return err
	}
	return writeTo(r.path(r.imageFile(binary)), func(w io.Writer) error { return writeTar(w, files) })
}

func (r release) imageFile(binary string) string { return binary + "_" + r.version + "_image.tar" }
