package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// developed is an image as dist/ names it.
var developed = regexp.MustCompile(`(?m)^( *(?:- )?image: ` + program + `/(?:operator|gateway)):dev$`)

// writeInstallFiles copies dist/, with the images of this version.
func (r release) writeInstallFiles(context.Context) error {
	paths, err := filepath.Glob(filepath.Join(r.top, "dist", "*.yaml"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("%s/dist has no install files", r.top)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := developed.ReplaceAll(raw, []byte("${1}:"+r.version))
		if bytes.Contains(text, []byte(":dev\n")) {
			return fmt.Errorf("%s has an image :dev that is none of the release's", path)
		}
		if err := os.WriteFile(r.path(filepath.Base(path)), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
