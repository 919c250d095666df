package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The document that the gateway serves holds for all that the suite asks of it.
var (
	document = sync.OnceValues(func() (routers.Router, error) {
		loaded, err := openapi3.NewLoader().LoadFromFile("../../internal/gateway/openapi.yaml")
		if err != nil {
			return nil, err
		}
		if err := loaded.Validate(context.Background()); err != nil {
			return nil, err
		}
		return gorillamux.NewRouter(loaded)
	})
	answered sync.Map // ids of operations, of this process
)

// answeredEntry is in the report of a spec that was the first of its process to ask for
// an operation with success: the suite may run on several.
const answeredEntry = "answered"

// expectAsDocumented holds an answer, and what was asked if that was well, against
// the document.
func expectAsDocumented(r *http.Request, a answer) {
	GinkgoHelper()
	if a.err != nil || a.header.Get("X-Amzn-ErrorType") == "UnknownOperationException" {
		return
	}
	router, err := document()
	Expect(err).NotTo(HaveOccurred())
	asked := r.Clone(context.Background())
	if r.GetBody != nil {
		asked.Body, err = r.GetBody()
		Expect(err).NotTo(HaveOccurred())
	}
	route, parameters, err := router.FindRoute(asked)
	Expect(err).NotTo(HaveOccurred(), r.URL.String())
	openapi3filter.RegisterBodyDecoder("text/plain", openapi3filter.FileBodyDecoder)
	in := &openapi3filter.RequestValidationInput{
		Request: asked, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if a.code < http.StatusMultipleChoices {
		asked.Header.Set("Content-Type", "application/json") // as which the gateway reads it
		Expect(openapi3filter.ValidateRequest(context.Background(), in)).To(Succeed(), r.URL.String())
		if _, known := answered.LoadOrStore(route.Operation.OperationID, true); !known {
			AddReportEntry(answeredEntry, route.Operation.OperationID, ReportEntryVisibilityNever)
		}
	}
	Expect(openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: a.code, Header: a.header, Body: io.NopCloser(bytes.NewBufferString(a.body)), Options: in.Options,
	})).To(Succeed(), "%s %s: %d %s", r.Method, r.URL, a.code, a.body)
}

var _ = Describe("The OpenAPI document", func() {
	It("is served to everybody", func(ctx context.Context) {
		raw, err := os.ReadFile("../../internal/gateway/openapi.yaml")
		Expect(err).NotTo(HaveOccurred())
		a := get(ctx, openDoor(), "/openapi.yaml")
		Expect(a.code).To(Equal(http.StatusOK))
		Expect(a.body).To(Equal(string(raw)))
	})
})

var _ = ReportAfterSuite("The OpenAPI document", func(report Report) {
	if len(report.SuiteConfig.FocusStrings) > 0 || !report.SuiteSucceeded {
		return
	}
	var ids []string
	for _, spec := range report.SpecReports {
		for _, entry := range spec.ReportEntries {
			if entry.Name == answeredEntry {
				ids = append(ids, entry.StringRepresentation())
			}
		}
	}
	Expect(ids).To(ContainElements(
		"InvokeAgentRuntime", "GetAgentCard", "StopRuntimeSession", "ListSessions", "GetSession", "StopSessions", "GetOpenAPI", "GetRuntimeProtectedResourceMetadata",
	), "what was asked for with success")
})
