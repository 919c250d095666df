package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/controlplane"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// control serves an operation of the control plane. Its callers are those whom the gateway
// knows, whatever issuer a runtime has for its own.
func (g *Gateway) control(w http.ResponseWriter, r *http.Request, c *call, asked *controlplane.Call) error {
	c.op, c.resource = operation(asked.Operation), lifecycle.Printable(asked.Resource)
	if g.Control == nil {
		return noOperation(" here: the control plane is off (--control-plane of the gateway)")
	}
	proof, err := g.Authenticate(r.Context(), r)
	if err != nil {
		return refused(err, authn.SchemeBearer)
	}
	if c.payload, err = g.spool(w, r, controlplane.MaxBody); err != nil {
		return err
	}
	if c.caller, err = proof(c.payload.Hash); err != nil {
		return refused(err, "")
	}
	asked.Caller, asked.Query, asked.Namespace = c.caller, r.URL.Query(), r.Header.Get(controlplane.HeaderNamespace)
	if asked.Body, err = io.ReadAll(c.payload.open()); err != nil {
		return fmt.Errorf("read the request's body: %w", err)
	}
	if runtime := asked.Runtime(); runtime != "" {
		if asked.Found, err = g.runtimesBy(r.Context(), runtime, ""); err != nil {
			return err
		}
	}
	code, answer, err := g.Control.Serve(r.Context(), asked)
	if err != nil {
		return err
	}
	return writeControl(w, code, answer)
}

func writeControl(w http.ResponseWriter, code int, answer any) error {
	if answer == nil {
		w.WriteHeader(code)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}
