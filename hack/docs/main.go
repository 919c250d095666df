// Command docs makes the site of the documentation: README.md and the pages of docs/ as
// HTML, which needs no other host to be read. Links to other files of the repository lead to GitHub.
//
//	go run . DIRECTORY
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const repository = "https://github.com/agentsession/agentsession"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("it wants the directory of the site, and nothing else: make docs")
	}
	s, err := readSite(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	if err := s.write(args[0]); err != nil {
		return err
	}
	fmt.Printf("%d pages: %s\n", len(s.pages), filepath.Join(args[0], s.pages[0].out()))
	return nil
}
