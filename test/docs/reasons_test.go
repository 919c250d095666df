package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// sources are the files of a package that are compiled into programs.
func sources(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	g := NewWithT(t)
	paths, err := filepath.Glob(filepath.Join(top, dir, "*.go"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		g.Expect(err).NotTo(HaveOccurred())
		files = append(files, file)
	}
	g.Expect(files).NotTo(BeEmpty())
	return files
}

func inspect[N ast.Node](files []*ast.File, visit func(N)) {
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if one, ok := n.(N); ok {
				visit(one)
			}
			return true
		})
	}
}

// constant is a text with the name of its type, which may be empty.
type constant struct{ kind, text string }

// constantsOf are a package's texts by their names.
func constantsOf(files []*ast.File) map[string]constant {
	all := map[string]constant{}
	inspect(files, func(spec *ast.ValueSpec) {
		for i, name := range spec.Names {
			if i < len(spec.Values) {
				if text, ok := textOf(spec.Values[i], nil); ok {
					kind, _ := spec.Type.(*ast.Ident)
					if kind == nil {
						kind = &ast.Ident{}
					}
					all[name.Name] = constant{kind.Name, text}
				}
			}
		}
	})
	return all
}

// textOf is what is fixed at the beginning of a text.
func textOf(e ast.Expr, known map[string]constant) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		return known[e.Name].text, known[e.Name].text != ""
	case *ast.BinaryExpr:
		return textOf(e.X, known)
	case *ast.CallExpr:
		if name, ok := e.Fun.(*ast.SelectorExpr); ok && name.Sel.Name == "Sprintf" {
			text, ok := textOf(e.Args[0], known)
			text, _, _ = strings.Cut(text, "%")
			return text, ok
		}
	}
	return "", false
}

// reasons are all that users meet as a reason: of conditions and stops, the states, which
// are reasons too, the types of conditions, the reasons of Events of other objects, and the
// types of the gateway's errors.
func reasons(t *testing.T) (all []string) {
	t.Helper()
	for name, c := range constantsOf(sources(t, "api/v1alpha1")) {
		if strings.HasPrefix(name, "Reason") || strings.HasPrefix(name, "Condition") || c.kind == "StopReason" || c.kind == "SessionState" {
			all = append(all, c.text)
		}
	}
	inspect(sources(t, "controllers"), func(call *ast.CallExpr) {
		if name, ok := call.Fun.(*ast.SelectorExpr); ok && name.Sel.Name == "Eventf" && len(call.Args) > 3 {
			if reason, ok := textOf(call.Args[3], nil); ok {
				all = append(all, reason)
			}
		}
	})
	for _, c := range constantsOf(sources(t, "internal/awswire")) {
		if strings.HasSuffix(c.text, "Exception") {
			all = append(all, c.text)
		}
	}
	gateway := slices.Concat(sources(t, "internal/gateway"), sources(t, "internal/awswire"), sources(t, "internal/controlplane"))
	known := constantsOf(gateway)
	inspect(gateway, func(field *ast.KeyValueExpr) {
		if key, ok := field.Key.(*ast.Ident); ok && key.Name == "Type" {
			if name, ok := textOf(field.Value, known); ok && (strings.HasSuffix(name, "Exception") || strings.HasSuffix(name, "Error")) {
				all = append(all, name)
			}
		}
	})
	slices.Sort(all)
	return slices.Compact(all)
}

const troubleshooting = "docs/troubleshooting.md"

var entry = regexp.MustCompile("(?m)^#### `([A-Za-z]+)`$")

// TestReasons: each reason has an entry in the page, with what to do or what it means, and the
// page has no entry of a reason that there is not.
func TestReasons(t *testing.T) {
	g, page := NewWithT(t), pages(t)[troubleshooting]
	var entries []string
	for _, m := range entry.FindAllStringSubmatch(page, -1) {
		entries = append(entries, m[1])
	}
	g.Expect(entries).To(ConsistOf(reasons(t)))
	g.Expect(len(entries)).To(BeNumerically(">", 60))
	for _, text := range entry.Split(page, -1)[1:] {
		g.Expect(len(strings.TrimSpace(text))).To(BeNumerically(">", 20), "an entry says nothing")
	}
}

// refusals are the functions and types by which gateway and authn make an error for a caller.
var refusals = strings.Fields("denied unauthorized notFound overQuota throttled runtimeError away unparsable conflict failure Error " +
	"Denied Unauthorized NotFound OverQuota Throttled Away Unparsable Failure")

// messages are what callers are told, as far as it is fixed, and the members of requests that
// are said to be wrong.
func messages(t *testing.T) (all, members []string) {
	t.Helper()
	for _, dir := range []string{"internal/gateway", "internal/authn", "internal/awswire", "internal/controlplane"} {
		files := sources(t, dir)
		known := constantsOf(files)
		add := func(e ast.Expr) {
			if text, ok := textOf(e, known); ok {
				all = append(all, text)
			}
		}
		for _, c := range known { // those that go by a variable
			if sentence.MatchString(c.text) {
				all = append(all, c.text)
			}
		}
		inspect(files, func(call *ast.CallExpr) {
			name, ok := call.Fun.(*ast.Ident)
			if of, is := call.Fun.(*ast.SelectorExpr); is {
				name, ok = of.Sel, fmt.Sprint(of.X) == "awswire"
			}
			switch {
			case !ok || len(call.Args) == 0:
			case slices.Contains(refusals, name.Name):
				add(call.Args[0])
			case slices.Contains([]string{"invalid", "Invalid", "broken", "missing"}, name.Name):
				if member, ok := textOf(call.Args[0], known); ok {
					members = append(members, member)
				}
			}
		})
		inspect(files, func(made *ast.CompositeLit) {
			if name, ok := made.Type.(*ast.Ident); !ok || !slices.Contains(refusals, name.Name) {
				return
			}
			for _, e := range made.Elts {
				if field, ok := e.(*ast.KeyValueExpr); ok && field.Key.(*ast.Ident).Name == "Message" { //nolint:forcetypeassert // fields have names
					add(field.Value)
				}
			}
		})
	}
	return all, members
}

// refusalsOfPage are what the page answers, as far as it is fixed.
func refusalsOfPage(t *testing.T) (all []string) {
	t.Helper()
	files := sources(t, "internal/dashboard")
	known := constantsOf(files)
	inspect(files, func(call *ast.CallExpr) {
		if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "refuse" {
			if text, ok := textOf(call.Args[2], known); ok {
				all = append(all, text)
			}
		}
	})
	NewWithT(t).Expect(len(all)).To(BeNumerically(">", 12))
	return all
}

// endsOfShells are the reasons with which internal/shell closes a connection: the texts in its
// function closing, and those of the errors that it tells.
func endsOfShells(t *testing.T) (all []string) {
	t.Helper()
	files := sources(t, "internal/shell")
	made := map[string]string{}
	inspect(files, func(spec *ast.ValueSpec) {
		for i, value := range spec.Values {
			if call, ok := value.(*ast.CallExpr); ok && len(call.Args) > 0 {
				text, _ := textOf(call.Args[0], nil)
				made[spec.Names[i].Name], _, _ = strings.Cut(text, "%")
			}
		}
	})
	inspect(files, func(function *ast.FuncDecl) {
		if function.Name.Name != "closing" {
			return
		}
		var errs []ast.Expr // of the case
		ast.Inspect(function.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CaseClause:
				errs = n.List
			case *ast.ReturnStmt:
				if text, ok := textOf(n.Results[1], nil); ok && text != "" {
					all = append(all, text)
				} else if !ok {
					for _, is := range errs {
						all = append(all, made[is.(*ast.CallExpr).Args[1].(*ast.Ident).Name]) //nolint:forcetypeassert // errors.Is(why, ERR)
					}
				}
			}
			return true
		})
	})
	NewWithT(t).Expect(len(all)).To(BeNumerically(">", 5))
	NewWithT(t).Expect(all).NotTo(ContainElement(""))
	return all
}

var (
	sentence = regexp.MustCompile(`^[A-Z][a-z]* [a-z' ]+`)
	quoted   = regexp.MustCompile(`"([^"]+)"`)
	inTable  = regexp.MustCompile(`(?m)^\| "([^"]+)"`)
)

// TestMessages: each message of the gateway, of a shell's end and of the dashboard has an entry
// in the page, by its beginning, and the page's tables quote no message that there is not.
func TestMessages(t *testing.T) {
	g := NewWithT(t)
	_, section, ok := strings.Cut(pages(t)[troubleshooting], "\n## Answers of the gateway\n")
	g.Expect(ok).To(BeTrue())
	all, members := messages(t)
	g.Expect(len(all)).To(BeNumerically(">", 40))
	all = slices.Concat(all, endsOfShells(t), refusalsOfPage(t))
	same := func(message, quote string) bool {
		return strings.HasPrefix(message, quote) || strings.HasPrefix(quote, message)
	}
	quotes := quoted.FindAllStringSubmatch(section, -1)
	for _, message := range all {
		g.Expect(slices.ContainsFunc(quotes, func(m []string) bool { return same(message, m[1]) })).To(BeTrue(), "%q has no entry", message)
	}
	for _, m := range inTable.FindAllStringSubmatch(section, -1) {
		g.Expect(slices.ContainsFunc(all, func(message string) bool { return same(message, m[1]) })).To(BeTrue(), "no message begins with %q", m[1])
	}
	g.Expect(members).NotTo(BeEmpty())
	for _, member := range members {
		g.Expect(section).To(ContainSubstring("`"+member+"`"), "a member of requests has no entry")
	}
}
