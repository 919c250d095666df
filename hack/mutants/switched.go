package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// switchedOn names, in the environment of a test binary, the mutant that is on.
const switchedOn = "MUTANT"

// neighbours are what an operator is turned into.
var neighbours = map[token.Token]string{
	token.EQL: "!=", token.NEQ: "==",
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">",
	token.LAND: "||", token.LOR: "&&",
	token.ADD: "-", token.SUB: "+", token.MUL: "/", token.QUO: "*",
}

// calls are the functions of switches that an operator becomes a call of.
var calls = map[token.Token]string{
	token.LSS: "mutantLess", token.LEQ: "mutantAtMost", token.GTR: "mutantMore", token.GEQ: "mutantAtLeast",
	token.LAND: "mutantAnd", token.LOR: "mutantOr",
}

// switches are what a package is given for its mutants.
const switches = `package %s

import (
	"cmp"
	"os"
	"strconv"
)

var mutant, _ = strconv.Atoi(os.Getenv(%q))

func mutantAnd(n int, x bool, y func() bool) bool {
	if n == mutant {
		return x || y()
	}
	return x && y()
}

func mutantOr(n int, x bool, y func() bool) bool {
	if n == mutant {
		return x && y()
	}
	return x || y()
}

func mutantLess[T cmp.Ordered](n int, x, y T) bool    { return x < y || n == mutant && x == y }
func mutantMore[T cmp.Ordered](n int, x, y T) bool    { return mutantLess(n, y, x) }
func mutantAtMost[T cmp.Ordered](n int, x, y T) bool  { return x < y || n != mutant && x == y }
func mutantAtLeast[T cmp.Ordered](n int, x, y T) bool { return mutantAtMost(n, y, x) }
`

// edits are what a file becomes: at some of its bytes something ends, something begins,
// and some bytes are left out.
type edits map[int]*edit

type edit struct {
	ends, begins string
	without      int
}

func (e edits) at(offset int) *edit {
	if e[offset] == nil {
		e[offset] = &edit{}
	}
	return e[offset]
}

// begin and end are called for the outer expression first.
func (e edits) begin(offset int, with string) { e.at(offset).begins += with }
func (e edits) end(offset int, with string)   { e.at(offset).ends = with + e.at(offset).ends }

func (e edits) of(raw []byte) []byte {
	var out []byte
	for i := 0; i < len(raw); i++ {
		if one := e[i]; one != nil {
			out = append(append(out, one.ends...), one.begins...)
			if i += one.without; one.without > 0 {
				i--
				continue
			}
		}
		out = append(out, raw[i])
	}
	return out
}

// ofFile are the mutants of a file, and the file with a switch for each of them that can
// have one. The others are sums and products: what has a switch would be no constant.
func ofFile(file string, tests suite, first int) (all []mutant, switched []byte, err error) {
	raw, set, code, err := parsed(file)
	if err != nil {
		return nil, nil, err
	}
	changes, negated := edits{}, map[ast.Expr]bool{}
	offset := func(at token.Pos) int { return set.Position(at).Offset }
	ast.Inspect(code, func(n ast.Node) bool {
		m := mutant{file: file, tests: tests, number: first + len(all)}
		switch n := n.(type) {
		case *ast.GenDecl: // figures are no rules
			return n.Tok != token.CONST
		case *ast.BinaryExpr:
			m.at, m.old, m.new = offset(n.OpPos), n.Op.String(), neighbours[n.Op]
			if m.new == "" || n.Op == token.ADD && words(n) {
				return true
			}
			if !changes.compare(n, m, offset) {
				m.number = 0
			}
		case *ast.UnaryExpr:
			if n.Op != token.NOT {
				return true
			}
			negated[n.X] = true
			m.at, m.old = offset(n.OpPos), "!"
			changes.begin(m.at, "((")
			changes.at(m.at).without = 1
			changes.end(offset(n.End()), fmt.Sprintf(") == (mutant == %d))", m.number))
		case *ast.CallExpr:
			if !compares(n, negated) {
				return true
			}
			m.at, m.new = offset(n.Pos()), "!"
			changes.begin(m.at, "((")
			changes.end(offset(n.End()), fmt.Sprintf(") != (mutant == %d))", m.number))
		default:
			return true
		}
		all = append(all, m)
		return true
	})
	return all, changes.of(raw), nil
}

func parsed(file string) (raw []byte, set *token.FileSet, code *ast.File, err error) {
	if raw, err = os.ReadFile(file); err != nil {
		return nil, nil, nil, fmt.Errorf("read the rules: %w", err)
	}
	set = token.NewFileSet()
	if code, err = parser.ParseFile(set, file, raw, 0); err != nil {
		return nil, nil, nil, fmt.Errorf("parse the rules: %w", err)
	}
	return raw, set, code, nil
}

// compares tells whether a call is a comparison of two moments, as far as one sees. One with
// a "!" has its mutant already: the one without.
func compares(call *ast.CallExpr, negated map[ast.Expr]bool) bool {
	method, is := call.Fun.(*ast.SelectorExpr)
	if !is || len(call.Args) != 1 || negated[call] {
		return false
	}
	if of, is := method.X.(*ast.Ident); is && of.Name == "time" { // its After is another
		return false
	}
	switch method.Sel.Name {
	case "Before", "After", "Equal":
		return true
	}
	return false
}

// words tells whether a sum is of texts, as far as one sees: nothing can be taken from them.
func words(sum ast.Expr) bool {
	switch sum := sum.(type) {
	case *ast.BasicLit:
		return sum.Kind == token.STRING
	case *ast.BinaryExpr:
		return words(sum.X) || words(sum.Y)
	}
	return false
}

// compare gives a comparison or a connective its switch.
func (e edits) compare(n *ast.BinaryExpr, m mutant, offset func(token.Pos) int) bool {
	begin, end := offset(n.Pos()), offset(n.End())
	switch n.Op {
	case token.EQL, token.NEQ:
		e.begin(begin, "((")
		e.end(end, fmt.Sprintf(") != (mutant == %d))", m.number))
		return true
	case token.LAND, token.LOR:
		e.end(end, ") })")
		e.begin(m.at, ", func() bool { return (") // which a line may end with
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		e.end(end, ")")
		e.begin(m.at, ",")
	default:
		return false
	}
	e.begin(begin, fmt.Sprintf("%s(%d, ", calls[n.Op], m.number))
	e.at(m.at).without = len(m.old)
	return true
}

// ofRule are the mutants of one of the rules, and what the compiler is to read in the
// place of its files for those that have a switch.
func ofRule(files []string, tests suite) (all []mutant, replaced map[string][]byte, err error) {
	replaced = map[string][]byte{
		filepath.Join(tests.pkg, "mutant.go"): fmt.Appendf(nil, switches, filepath.Base(tests.pkg), switchedOn),
	}
	for _, pattern := range files {
		found, err := filepath.Glob(filepath.Join(tests.pkg, pattern))
		if err != nil {
			return nil, nil, fmt.Errorf("find the rules: %w", err)
		}
		for _, file := range found {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			mutants, switched, err := ofFile(file, tests, len(all)+1)
			if err != nil {
				return nil, nil, err
			}
			all, replaced[file] = append(all, mutants...), switched
		}
	}
	return all, replaced, nil
}
