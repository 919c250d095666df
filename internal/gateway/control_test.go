package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
)

// What a stranger names stands in the log as far as a name has to.
func TestALineOfTheLogIsBounded(t *testing.T) {
	var lines []string
	one := New(Options{Log: funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})})
	r := httptest.NewRequest(http.MethodGet, "/runtimes/name-%E2%80%AE"+strings.Repeat("a", 50_000)+"/", nil)
	one.ServeHTTP(httptest.NewRecorder(), r)
	g := NewWithT(t)
	g.Expect(lines).To(HaveLen(1))
	g.Expect(lines[0]).To(ContainSubstring(`"resource"="name-?aaa`))
	g.Expect(len(lines[0])).To(BeNumerically("<", 1000))
}
