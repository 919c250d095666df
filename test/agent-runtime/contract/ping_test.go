package contract_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

func TestParsePing(t *testing.T) {
	stamp := time.Unix(1795423194, 0)
	for name, row := range map[string]struct {
		body string
		want contract.Ping
		err  error
	}{
		"as the Python SDK sends it": {
			body: `{"status":"Healthy","time_of_last_update":1795423194}`,
			want: contract.Ping{Status: contract.Healthy, UpdatedAt: stamp, Stamp: contract.StampSeconds},
		},
		"busy": {
			body: `{"status":"HealthyBusy","time_of_last_update":1795423194}`,
			want: contract.Ping{Status: contract.HealthyBusy, UpdatedAt: stamp, Stamp: contract.StampSeconds},
		},
		"no stamp": {
			body: `{"status":"Healthy"}`,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampMissing},
		},
		"null stamp": {
			body: `{"status":"Healthy","time_of_last_update":null}`,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampMissing},
		},
		"float seconds": {
			body: `{"status":"Healthy","time_of_last_update":1795423194.9}`,
			want: contract.Ping{Status: contract.Healthy, UpdatedAt: stamp, Stamp: contract.StampSeconds},
		},
		"milliseconds": {
			body: `{"status":"Healthy","time_of_last_update":1795423194000}`,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampMilliseconds},
		},
		"ISO 8601, as the TypeScript SDK sent until 2026-04": {
			body: `{"status":"Healthy","time_of_last_update":"2026-11-23T08:39:54Z"}`,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampNotANumber},
		},
		"number in a string": {
			body: `{"status":"Healthy","time_of_last_update":"1795423194"}`,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampNotANumber},
		},
		"object for a stamp": {
			body: `{"status":"Healthy","time_of_last_update":{}}`,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampNotANumber},
		},
		"negative": {
			body: `{"status":"Healthy","time_of_last_update":-1}`,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampOutOfRange},
		},
		"beyond floats": {
			body: `{"status":"Healthy","time_of_last_update":1e999}`,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampOutOfRange},
		},
		"unknown fields are passed over": {
			body: ` {"active_tasks":[{"status":"x"}],"status":"Healthy"} `,
			want: contract.Ping{Status: contract.Healthy, Stamp: contract.StampMissing},
		},

		"lower case status": {body: `{"status":"healthy"}`, want: contract.Ping{Status: "healthy", Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"lower case status, with a stamp": {
			body: `{"time_of_last_update":1795423194,"status":"healthy"}`,
			want: contract.Ping{Status: "healthy", UpdatedAt: stamp, Stamp: contract.StampSeconds}, err: contract.ErrStatus,
		},
		"upper case status": {body: `{"status":"HEALTHY"}`, want: contract.Ping{Status: "HEALTHY", Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"empty status":      {body: `{"status":""}`, want: contract.Ping{Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"null status":       {body: `{"status":null}`, want: contract.Ping{Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"number status":     {body: `{"status":5}`, want: contract.Ping{Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"list status":       {body: `{"status":["Healthy"]}`, want: contract.Ping{Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"other spelling":    {body: `{"STATUS":"Healthy"}`, want: contract.Ping{Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"no status":         {body: `{}`, want: contract.Ping{Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"byte order mark": {
			body: "\ufeff" + `{"status":"HealthyBusy","time_of_last_update":1795423194}`,
			want: contract.Ping{Status: contract.HealthyBusy, UpdatedAt: stamp, Stamp: contract.StampSeconds}, err: contract.ErrByteOrderMark,
		},
		"byte order mark before another status": {body: "\ufeff" + `{"status":"ok"}`, want: contract.Ping{Status: "ok", Stamp: contract.StampMissing}, err: contract.ErrStatus},
		"two byte order marks":                  {body: "\ufeff\ufeff" + `{"status":"Healthy"}`, err: contract.ErrNotJSON},
		"two statuses":                          {body: `{"status":"Healthy","status":"HealthyBusy"}`, err: contract.ErrNotJSON},
		"list":                                  {body: `["Healthy"]`, err: contract.ErrNotJSON},
		"string":                                {body: `"Healthy"`, err: contract.ErrNotJSON},
		"null":                                  {body: `null`, err: contract.ErrNotJSON},
		"empty":                                 {body: ``, err: contract.ErrNotJSON},
		"HTML":                                  {body: `<html>`, err: contract.ErrNotJSON},
		"cut off":                               {body: `{"status":"Healthy"`, err: contract.ErrNotJSON},
		"two objects":                           {body: `{"status":"Healthy"}{"status":"Healthy"}`, err: contract.ErrNotJSON},
		"not UTF-8":                             {body: "{\"status\":\"Healthy\",\"x\":\"\xff\"}", err: contract.ErrNotJSON},
		"deep":                                  {body: `{"x":` + strings.Repeat("[", 4000), err: contract.ErrNotJSON},
		"one byte too many":                     {body: `{"status":"Healthy"` + strings.Repeat(" ", contract.MaxPingBytes) + `}`, err: contract.ErrTooLarge},
		"deep beyond the size":                  {body: strings.Repeat("[", 100_000), err: contract.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			ping, err := contract.ParsePing([]byte(row.body))
			if row.err != nil {
				g.Expect(err).To(MatchError(row.err))
				g.Expect(len(err.Error())).To(BeNumerically("<", 200))
			} else {
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(ping).To(Equal(row.want))
		})
	}
}

func FuzzParsePing(f *testing.F) {
	f.Add([]byte(`{"status":"Healthy","time_of_last_update":1795423194}`))
	f.Add([]byte(`{"status":"HealthyBusy","time_of_last_update":1e999}`))
	f.Add([]byte(`{"status":["Healthy"]}`))
	f.Add([]byte("\ufeff" + `{"status":"Healthy"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		ping, err := contract.ParsePing(body)
		switch {
		case errors.Is(err, contract.ErrStatus):
			if ping.Status.Valid() {
				t.Fatalf("%q was refused for %v", body, err)
			}
			return
		case errors.Is(err, contract.ErrNotJSON), errors.Is(err, contract.ErrTooLarge):
			if ping != (contract.Ping{}) {
				t.Fatalf("%q was refused for %v, and taken for %+v", body, err, ping)
			}
			return
		case err != nil && !errors.Is(err, contract.ErrByteOrderMark):
			t.Fatalf("error of no known kind: %v", err)
		}
		if !ping.Status.Valid() || ping.UpdatedAt.IsZero() != (ping.Stamp != contract.StampSeconds) {
			t.Fatalf("%q was taken for %+v", body, ping)
		}
		again, err := contract.ParsePing(ping.AppendJSON(nil))
		if err != nil || again.Status != ping.Status || !again.UpdatedAt.Equal(ping.UpdatedAt) {
			t.Fatalf("%+v came back as %+v, %v", ping, again, err)
		}
	})
}
