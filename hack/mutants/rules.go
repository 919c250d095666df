package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

const rules = "internal/lifecycle"

// neighbours are what an operator is turned into.
var neighbours = map[token.Token]string{
	token.EQL: "!=", token.NEQ: "==",
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">",
	token.LAND: "||", token.LOR: "&&",
	token.ADD: "-", token.SUB: "+",
}

// ofRules are the mutants of the rules.
func ofRules() ([]mutant, error) {
	files, err := filepath.Glob(filepath.Join(rules, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("find the rules: %w", err)
	}
	var all []mutant
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		code, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			return nil, fmt.Errorf("parse the rules: %w", err)
		}
		add := func(at token.Pos, old, by string) {
			all = append(all, mutant{file, set.Position(at).Offset, old, by, []string{"./" + rules}})
		}
		ast.Inspect(code, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if by, is := neighbours[n.Op]; is {
					add(n.OpPos, n.Op.String(), by)
				}
			case *ast.UnaryExpr:
				if n.Op == token.NOT {
					add(n.OpPos, "!", "")
				}
			}
			return true
		})
	}
	return all, nil
}
