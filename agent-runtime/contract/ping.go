package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Status is what an agent says of itself in its answer to GET /ping.
type Status string

const (
	// Healthy agents wait for work: their session is idle unless an
	// invocation is in flight.
	Healthy Status = "Healthy"
	// HealthyBusy agents run background tasks: their session is active and
	// is kept beyond the idle timeout.
	HealthyBusy Status = "HealthyBusy"
)

// Valid tells whether s is one of the two statuses of the contract.
func (s Status) Valid() bool { return s == Healthy || s == HealthyBusy }

// StampForm is the form in which an agent sent time_of_last_update. Only
// StampSeconds is of use: AgentCore treats the others as absent.
type StampForm string

const (
	// StampMissing is an absent field, or null.
	StampMissing StampForm = "Missing"
	// StampSeconds is a number of Unix seconds, as the contract wants it.
	StampSeconds StampForm = "Seconds"
	// StampMilliseconds is a number too large for seconds: after the year 5000.
	StampMilliseconds StampForm = "Milliseconds"
	// StampNotANumber is any other JSON value, for example an ISO 8601 string.
	StampNotANumber StampForm = "NotANumber"
	// StampOutOfRange is a negative number, or one that no float can hold.
	StampOutOfRange StampForm = "OutOfRange"
)

// maxSeconds is where Unix seconds end and milliseconds begin: 1e11 seconds
// are the year 5138, 1e11 milliseconds were in 1973.
const maxSeconds = 1e11

// Ping is an agent's answer to GET /ping.
type Ping struct {
	// Status is one of Healthy and HealthyBusy.
	Status Status
	// UpdatedAt is time_of_last_update: when the status last changed, by the
	// agent's own clock, to the second. Zero unless Stamp is StampSeconds.
	UpdatedAt time.Time
	// Stamp is the form in which time_of_last_update came.
	Stamp StampForm
}

// The ways in which a ping answer breaks the contract.
var (
	// ErrNotJSON is a body that is not one JSON object in UTF-8.
	ErrNotJSON = errors.New("not a JSON object")
	// ErrStatus is an object without exactly one status that the contract knows.
	ErrStatus = errors.New(`status must be "Healthy" or "HealthyBusy"`)
	// ErrByteOrderMark is an answer that is good but for a byte order mark before it.
	ErrByteOrderMark = errors.New("a byte order mark before the JSON object")
	// ErrTooLarge is a body of more than MaxPingBytes.
	ErrTooLarge = fmt.Errorf("more than %d bytes", MaxPingBytes)
)

// byteOrderMark is that of UTF-8, which JSON texts must not begin with and parsers
// may pass over (RFC 8259, section 8.1).
const byteOrderMark = "\ufeff"

// ParsePing reads the body of a ping answer. It is strict where the status is
// concerned (one key "status" of that spelling, one of the two words) and
// tolerant elsewhere, as AgentCore is: unknown fields are passed over, and a
// time_of_last_update that is of no use is reported in Stamp, not as an error.
// Errors match ErrNotJSON, ErrStatus, ErrByteOrderMark or ErrTooLarge.
//
// For whoever is more tolerant, the Ping holds what could be read: with
// ErrByteOrderMark all of it, and with ErrStatus the stamp and, in Status, the word
// that was sent in the place of the two; empty if there was none.
//
// encoding/json.Unmarshal would take "STATUS" for "status" and the last of
// two, so the object is read token by token.
func ParsePing(body []byte) (Ping, error) {
	if len(body) > MaxPingBytes {
		return Ping{}, ErrTooLarge
	}
	if !utf8.Valid(body) {
		return Ping{}, fmt.Errorf("%w: not UTF-8", ErrNotJSON)
	}
	body, marked := bytes.CutPrefix(body, []byte(byteOrderMark))
	fields, err := readObject(body)
	if err != nil {
		return Ping{}, fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	var ping Ping
	ping.UpdatedAt, ping.Stamp = parseStamp(fields["time_of_last_update"])
	if ping.Status, err = parseStatus(fields["status"]); err != nil {
		return ping, err
	}
	if marked {
		return ping, ErrByteOrderMark
	}
	return ping, nil
}

func readObject(body []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	open, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if open != json.Delim('{') {
		return nil, fmt.Errorf("starts with %v", open)
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		key := name.(string) // the decoder takes nothing else for a key
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("key %q is there twice", key)
		}
		fields[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows after the object")
	}
	return fields, nil
}

func parseStatus(raw json.RawMessage) (Status, error) {
	if raw == nil {
		return "", fmt.Errorf("%w: the field is missing", ErrStatus)
	}
	var status Status
	if err := json.Unmarshal(raw, &status); err != nil {
		return "", fmt.Errorf("%w, not a text", ErrStatus)
	}
	if !status.Valid() {
		return status, fmt.Errorf("%w, not %.40q", ErrStatus, string(status))
	}
	return status, nil
}

func parseStamp(raw json.RawMessage) (time.Time, StampForm) {
	if raw == nil || string(raw) == "null" {
		return time.Time{}, StampMissing
	}
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return time.Time{}, StampNotANumber
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil || seconds < 0:
		return time.Time{}, StampOutOfRange
	case seconds >= maxSeconds:
		return time.Time{}, StampMilliseconds
	}
	whole, _ := math.Modf(seconds)
	return time.Unix(int64(whole), 0), StampSeconds
}

// AppendJSON appends p as it stands on the wire, for example
// {"status":"Healthy","time_of_last_update":1795423194}.
func (p Ping) AppendJSON(b []byte) []byte {
	b = append(b, `{"status":`...)
	b = strconv.AppendQuote(b, string(p.Status))
	if p.Stamp == StampSeconds {
		b = append(b, `,"time_of_last_update":`...)
		b = strconv.AppendInt(b, p.UpdatedAt.Unix(), 10)
	}
	return append(b, '}')
}

// IsJSONRPC tells whether a body is an object of JSON-RPC 2.0, of MaxPingBytes at most.
func IsJSONRPC(body []byte) bool {
	if len(body) > MaxPingBytes || !utf8.Valid(body) {
		return false
	}
	fields, err := readObject(body)
	return err == nil && string(fields["jsonrpc"]) == `"2.0"`
}
