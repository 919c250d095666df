package gateway

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// direct reaches a gateway of this machine, whatever proxies the environment names.
var direct = &http.Transport{}

// CallSession invokes a session's agent through the gateway at a URL of this machine, as callers
// do, and hands the answer to a function. authorize has the request be somebody's.
func CallSession(ctx context.Context, gatewayURL string, session *v1alpha1.AgentSession, body []byte, authorize func(*http.Request) error, answer func(*http.Response) error) error {
	if !lifecycle.Reachable(session) {
		return fmt.Errorf("AgentSession %s was not made by a call, so the gateway does not lead to it: `agentsession invoke` does", session.Name)
	}
	ref := session.Spec.RuntimeRef
	to := lifecycle.InvocationsURL(gatewayURL, session.Namespace+"/"+ref.Name) + "?qualifier=" + url.QueryEscape(cmp.Or(ref.Qualifier, v1alpha1.DefaultQualifier))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the call: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream, */*")
	r.Header.Set(contract.HeaderSessionID, session.Spec.RuntimeSessionID)
	if err := authorize(r); err != nil {
		return err
	}
	r.GetBody = nil // it is sent once
	response, err := direct.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("call the gateway: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // what came of it is known
	return answer(response)
}
