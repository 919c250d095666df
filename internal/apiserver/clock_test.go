package apiserver_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// machine is one whose clock may be set, and on which time passes all the same.
type machine struct {
	set    time.Time
	passed time.Duration
}

func (m *machine) Now() time.Time                { return m.set.Add(m.passed) }
func (m *machine) Since(time.Time) time.Duration { return m.passed }

// answers are what the API server says.
type answers func() *http.Response

func (f answers) RoundTrip(*http.Request) (*http.Response, error) { return f(), nil }

func TestClockTellsTheAPIServersTime(t *testing.T) {
	g := NewWithT(t)
	begun := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	here := &machine{set: begun.Add(2 * time.Minute)} // which is wrong
	var lines []string
	log := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
	c := apiserver.NewClock(here, log)
	there, code := begun, http.StatusOK
	config := c.Listen(&rest.Config{Host: "https://api.example", Transport: answers(func() *http.Response {
		return &http.Response{StatusCode: code, Header: http.Header{"Date": {there.Add(here.passed).Format(http.TimeFormat)}}, Body: http.NoBody}
	})})
	client, err := rest.HTTPClientFor(config)
	g.Expect(err).NotTo(HaveOccurred())
	ask := func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/api", http.NoBody)
		g.Expect(err).NotTo(HaveOccurred())
		answer, err := client.Do(r)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(answer.Body.Close()).To(Succeed())
		here.passed += 2 * time.Second
	}
	isAbout := func(want time.Time) {
		t.Helper()
		g.Expect(c.Now()).To(BeTemporally("~", want.Add(here.passed), time.Second))
	}
	g.Expect(c.Now()).To(Equal(begun.Add(2*time.Minute)), "nothing was heard")
	g.Expect(c.Heard()).To(BeFalse())
	ask()
	g.Expect(c.Heard()).To(BeTrue())
	isAbout(begun)
	g.Expect(c.Skew()).To(BeNumerically("~", 2*time.Minute, time.Second))
	g.Expect(lines).To(ConsistOf(ContainSubstring("not the API server's")))

	ask()
	here.set = begun.Add(time.Hour) // somebody sets the machine's clock, and takes it back
	isAbout(begun)
	ask()
	ask()
	isAbout(begun)
	g.Expect(c.Skew()).To(BeNumerically("~", time.Hour, time.Second))
	here.set = begun
	ask()
	ask()
	isAbout(begun)
	g.Expect(c.Skew()).To(BeNumerically("~", 0, time.Second))
	g.Expect(lines).To(HaveExactElements(MatchRegexp(`"ahead"="(2m0|1m59)s"`), MatchRegexp(`"ahead"="(1h0m0|59m59)s"`), ContainSubstring("again")), "one for each change")
	g.Expect(c.Steps()).To(BeZero())

	there = begun.Add(time.Hour) // somebody sets the API server's
	code = http.StatusBadGateway
	ask()
	isAbout(begun)
	code = http.StatusConflict
	ask()
	ask()
	isAbout(begun.Add(time.Hour))
	g.Expect(c.Steps()).To(Equal(1))
	g.Expect(lines[3:]).To(HaveExactElements(ContainSubstring("was set, or this machine stood still"), ContainSubstring("not the API server's")))
	made := lifecycle.Facts{Compute: lifecycle.Compute{CreatedAt: begun.Add(-time.Minute)}}
	g.Expect(c.Read(made, c.Now()).Compute.CreatedAt).To(BeTemporally("~", begun.Add(59*time.Minute), time.Second), "as long ago as has passed")
}
