package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// start runs an agent on a free port until the test ends, and expects it to
// stop well before its grace period is over.
func start(t *testing.T, args ...string) (url string) {
	t.Helper()
	g := NewWithT(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	addr := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())

	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, append(args, "--addr="+addr)) }()
	t.Cleanup(func() {
		stop()
		g.Eventually(ended).WithTimeout(5 * time.Second).Should(Receive(Or(BeNil(), MatchError(ContainSubstring("unfinished")))))
	})
	g.Eventually(func() error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}).WithTimeout(5 * time.Second).Should(Succeed())
	return "http://" + addr
}

func request(ctx context.Context, t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	g := NewWithT(t)
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	g.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(read)
}

func TestPings(t *testing.T) {
	for args, want := range map[string]string{
		"echo":                                   `^200 {"status":"Healthy","time_of_last_update":\d{10}}$`,
		"research --task-on-start=1m --grace=1s": `^200 {"status":"HealthyBusy","time_of_last_update":\d{10}}$`,
		"forgetful --grace=1s":                   `^200 {"status":"Healthy","time_of_last_update":\d{10}}$`,
		"forgetful --forget-at-start --grace=1s": `^200 {"status":"HealthyBusy","time_of_last_update":\d{10}}$`,
		"plain":                                  `^200 {"status":"Healthy"}$`,
		"faulty":                                 `^200 {"status":"Healthy","time_of_last_update":\d{10}}$`,
		"faulty --busy --stamp=missing":          `^200 {"status":"HealthyBusy"}$`,
		"faulty --stamp=ms":                      `^200 {"status":"Healthy","time_of_last_update":\d{13}}$`,
		"faulty --stamp=iso":                     `^200 {"status":"Healthy","time_of_last_update":"20.*Z"}$`,
		"faulty --stamp=now":                     `^200 {"status":"Healthy","time_of_last_update":\d{10}}$`,
		"faulty --never-healthy":                 `^503 `,
		"faulty --hang-after=1ns":                `^0 .*deadline exceeded`,
	} {
		t.Run(args, func(t *testing.T) {
			url := start(t, strings.Fields(args)...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			code, body := request(ctx, t, http.MethodGet, url+"/ping", "")
			NewWithT(t).Expect(strconv.Itoa(code) + " " + body).To(MatchRegexp(want))
		})
	}
}

func TestInvocations(t *testing.T) {
	for name, row := range map[string]struct {
		args   string
		bodies []string
		want   string // of the last
		ping   string
	}{
		"echo counts":             {"echo", []string{`1`, `{"a":[]}`}, `{"payload":{"a":\[\]},"sessionId":"","invocations":2,"startedAt":"20.*Z"}`, `"Healthy"`},
		"research goes on":        {"research --grace=1s", []string{`{"seconds":60}`}, `{"started":"research","seconds":60}`, `"HealthyBusy"`},
		"research wants a time":   {"research", []string{`{}`}, `"error":"seconds must be`, `"Healthy"`},
		"forgetful forgets one":   {"forgetful --grace=1s", []string{`{}`, `{}`}, `{"forgot":1,"tasks":{"active_count":1,`, `"HealthyBusy"`},
		"manual goes on":          {"manual --grace=1s", []string{`{"seconds":60}`}, `{"started":"manual","seconds":60}`, `"HealthyBusy"`},
		"manual ends":             {"manual", []string{`{"seconds":0.001}`}, `{"started":"manual","seconds":0.001}`, `"Healthy"`},
		"dependency is backed up": {"dependency", []string{`{"depth":1001}`}, `{"depth":1001}`, `"HealthyBusy"`},
		"dependency is not":       {"dependency", []string{`{"depth":1001}`, `{"depth":1000}`}, `{"depth":1000}`, `"Healthy"`},
		"journal forgets":         {"journal --grace=1s", []string{`{"seconds":0.001,"forget":true}`}, `{"started":"chore","seconds":0.001}`, `"HealthyBusy"`},
		"journal completes":       {"journal", []string{`{"seconds":0.001}`}, `{"started":"chore","seconds":0.001}`, `"Healthy"`},
		"throttle holds on":       {"throttle", []string{`{"mebibytes":1}`}, `{"mebibytes":1}`, `"Healthy`},
		"throttle knows limits":   {"throttle", []string{`{"mebibytes":-1}`}, `"error":"mebibytes must be`, `"Healthy`},
		"stream":                  {"stream", []string{`{"text":"a b"}`}, `^data: {"word":"a"}\n\ndata: {"word":"b"}\n\n$`, `"Healthy"`},
		"stream ends badly":       {"stream", []string{`{"unhappy":true}`}, `^data: {"error":"no happy end","error_type":".*","message":".*"}\n\n$`, `"Healthy"`},
		"plain":                   {"plain", []string{`{}`}, `{"answer":"42"}`, `"Healthy"`},
		"faulty":                  {"faulty", []string{`{}`}, `{"error":"faulty"}`, `"Healthy"`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			url := start(t, strings.Fields(row.args)...)
			var body string
			for _, payload := range row.bodies {
				_, body = request(t.Context(), t, http.MethodPost, url+"/invocations", payload)
			}
			g.Expect(body).To(MatchRegexp(row.want))
			g.Eventually(func() string { // work of a millisecond may not be over yet
				_, body = request(t.Context(), t, http.MethodGet, url+"/ping", "")
				return body
			}).WithTimeout(5 * time.Second).Should(ContainSubstring(row.ping))
		})
	}
}

func TestClients(t *testing.T) {
	g := NewWithT(t)
	url := start(t, "research", "--grace=1s")
	g.Expect(run(t.Context(), []string{"ping", url})).To(Succeed())
	g.Expect(run(t.Context(), []string{"invoke", url + "/", `{"seconds":5}`})).To(Succeed())
	g.Expect(run(t.Context(), []string{"invoke", url})).To(MatchError("the agent answered 400 Bad Request"))
	g.Expect(run(t.Context(), []string{"tasks", url})).To(MatchError("the agent answered 404 Not Found"))
	look := start(t, "journal")
	g.Expect(run(t.Context(), []string{"tasks", look})).To(Succeed())
	g.Expect(run(t.Context(), []string{"events", look})).To(Succeed())
	g.Expect(run(t.Context(), []string{"invoke", url, `{"seconds":`, `5}`})).To(MatchError(HavePrefix("usage: ")))
}

func TestUsage(t *testing.T) {
	g := NewWithT(t)
	g.Expect(run(t.Context(), nil)).To(MatchError(HavePrefix("usage: agents dependency|echo|")))
	g.Expect(run(t.Context(), []string{"nobody"})).To(MatchError(HavePrefix(`"nobody" is none of `)))
	g.Expect(run(t.Context(), []string{"faulty", "--stamp=often"})).To(MatchError(HavePrefix("--stamp=often ")))
}
