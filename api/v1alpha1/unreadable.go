package v1alpha1

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
)

// UnmarshalJSON reads a session, and of one that cannot be read what can, with
// Unreadable. An error would fail the list and the watch of all sessions.
func (s *AgentSession) UnmarshalJSON(raw []byte) error {
	type agentSession AgentSession
	err := json.Unmarshal(raw, (*agentSession)(s))
	if err == nil {
		s.Unreadable = ""
		return nil
	}
	*s = AgentSession{Unreadable: err.Error()}
	type spec AgentSessionSpec
	if readParts(raw, &s.TypeMeta, &s.ObjectMeta, &struct {
		*spec
		Template stdjson.RawMessage `json:"template"`
	}{spec: (*spec)(&s.Spec)}, &s.Status) {
		return nil
	}
	return err
}

// UnmarshalJSON reads a runtime, and of one that cannot be read what can, with
// Unreadable. An error would fail the list and the watch of all runtimes.
func (r *AgentRuntime) UnmarshalJSON(raw []byte) error {
	type agentRuntime AgentRuntime
	err := json.Unmarshal(raw, (*agentRuntime)(r))
	if err == nil {
		r.Unreadable = ""
		return nil
	}
	*r = AgentRuntime{Unreadable: err.Error()}
	type spec AgentRuntimeSpec
	if readParts(raw, &r.TypeMeta, &r.ObjectMeta, &struct {
		*spec
		Template stdjson.RawMessage `json:"template"`
	}{spec: (*spec)(&r.Spec)}, &r.Status) {
		return nil
	}
	return err
}

// readParts reads an object part by part, and tells whether it is one. Of spec and
// status it reads what it can.
func readParts(raw []byte, kind *metav1.TypeMeta, meta *metav1.ObjectMeta, spec, status any) bool {
	var parts struct {
		Metadata stdjson.RawMessage `json:"metadata"`
		Spec     stdjson.RawMessage `json:"spec"`
		Status   stdjson.RawMessage `json:"status"`
	}
	if json.Unmarshal(raw, kind) != nil || json.Unmarshal(raw, &parts) != nil || json.Unmarshal(parts.Metadata, meta) != nil {
		return false
	}
	_ = json.Unmarshal(parts.Spec, spec)     // as above
	_ = json.Unmarshal(parts.Status, status) // as above
	return true
}

// UnmarshalJSON refuses a quantity that would take a core and memory without end.
func (s *AgentSessionSpec) UnmarshalJSON(raw []byte) error {
	if err := checkQuantities(raw); err != nil {
		return err
	}
	type spec AgentSessionSpec
	return json.Unmarshal(raw, (*spec)(s))
}

// UnmarshalJSON refuses a quantity that would take a core and memory without end.
func (s *AgentRuntimeSpec) UnmarshalJSON(raw []byte) error {
	if err := checkQuantities(raw); err != nil {
		return err
	}
	type spec AgentRuntimeSpec
	return json.Unmarshal(raw, (*spec)(s))
}

// exponent is a number whose exponent has four digits or more. resource.Quantity
// computes it: 1e-999999999 without an end.
var exponent = regexp.MustCompile(`^[+-]?[0-9.]+[eE][+-]?[0-9]{4,}$`)

// checkQuantities looks at what may be a quantity. Nearly no spec has a string that ends
// as such a number does, so that nearly none is read twice.
func checkQuantities(raw []byte) error {
	if !mayHaveExponent(raw) {
		return nil
	}
	var spec any
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	return checkExponents("spec", spec)
}

// mayHaveExponent tells whether a string ends with an e, a sign or none, four digits, and
// maybe white space.
func mayHaveExponent(raw []byte) bool {
	for i, c := range raw {
		if c != 'e' && c != 'E' {
			continue
		}
		rest := bytes.TrimLeft(raw[i+1:], "+-")
		after := bytes.TrimLeft(rest, "0123456789")
		if len(rest)-len(after) >= 4 && len(after) > 0 && bytes.IndexByte([]byte("\" \\"), after[0]) >= 0 {
			return true
		}
	}
	return false
}

// quantities are the fields of a pod that hold quantities: true, or a map of them.
var quantities = map[string]bool{"limits": false, "requests": false, "overhead": false, "sizeLimit": true, "divisor": true}

// checkExponents looks for quantities in what lies at a path.
func checkExponents(path string, value any) error {
	switch value := value.(type) {
	case []any:
		for i, v := range value {
			if err := checkExponents(fmt.Sprintf("%s[%d]", path, i), v); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, v := range value {
			at := path + "." + key
			if err := errors.Join(checkQuantity(at, key, v), checkExponents(at, v)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkQuantity looks at a field that may hold a quantity, or a map of them.
func checkQuantity(path, field string, value any) error {
	one, known := quantities[field]
	if all, isMap := value.(map[string]any); known && !one && isMap {
		for name, v := range all {
			if err := checkExponent(path+"."+name, v); err != nil {
				return err
			}
		}
	}
	if one {
		return checkExponent(path, value)
	}
	return nil
}

func checkExponent(path string, value any) error {
	if s, is := value.(string); is && exponent.MatchString(strings.TrimSpace(s)) {
		return fmt.Errorf("%s is %.40q: the exponent of a quantity has three digits at most", path, s)
	}
	return nil
}
