package kubernetes

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const suitePackage = "k8s.io/apiserver/pkg/storage/testing"

// TestEveryTestOfTheSuiteIsRun fails if the suite exports a test (Run…, not a benchmark) that this module does not call. It reads
// sources, so it wants the go command and this folder as working directory.
func TestEveryTestOfTheSuiteIsRun(t *testing.T) {
	folder, err := exec.Command("go", "list", "-f", "{{.Dir}}", suitePackage).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", suitePackage, err)
	}
	exported := map[string]bool{}
	eachFile(t, filepath.Join(strings.TrimSpace(string(folder)), "*.go"), func(file *ast.File) {
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if ok && function.Recv == nil && strings.HasPrefix(function.Name.Name, "Run") &&
				!strings.HasPrefix(function.Name.Name, "RunBenchmark") {
				exported[function.Name.Name] = true
			}
		}
	})
	if len(exported) < 50 {
		t.Fatalf("only %d tests found in %s: this check looks in the wrong place", len(exported), suitePackage)
	}
	called := map[string]bool{}
	eachFile(t, "*_test.go", func(file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok {
				if selector, ok := call.Fun.(*ast.SelectorExpr); ok {
					if from, ok := selector.X.(*ast.Ident); ok && from.Name == "storagetesting" {
						called[selector.Sel.Name] = true
					}
				}
			}
			return true
		})
	})
	for name := range exported {
		if !called[name] {
			t.Errorf("%s.%s is not called here", suitePackage, name)
		}
	}
}

func eachFile(t *testing.T, pattern string, visit func(*ast.File)) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no Go files match %s (%v)", pattern, err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		visit(file)
	}
}
