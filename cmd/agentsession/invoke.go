package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// The types of what is asked and of what may be answered, unless others are given.
const (
	typeJSON  = "application/json"
	acceptAll = "application/json, text/event-stream, */*"
)

// invocation asks an agent something.
type invocation struct {
	*cluster
	payload, file                              string
	sessionID, contentType, accept, gatewayURL string
	body                                       []byte
	out, err                                   io.Writer
	// safe leaves out what is not printable.
	safe bool
	// take gets the answer, instead of out; nil: out does.
	take func(*http.Response) error
}

func (t *connection) newInvoke() *cobra.Command {
	v := &invocation{}
	command := &cobra.Command{
		Use:   "invoke SESSION|RUNTIME --payload JSON | -f FILE | -",
		Short: "Ask an agent something, and show its answer as it comes",
		Long: "Ask an agent something, and show its answer as it comes.\n\n" +
			"A runtime, and a session that was made by a call, are called through the gateway, which starts or wakes the session: at --gateway, " +
			"where the kubeconfig of `" + program + " local` says, or through the API server at one of its pods in namespace " + platformNamespace + ". " +
			"The gateway knows you by the token of your kubeconfig, or of --token; or by the access key of AWS's environment variables " + envKeyID + " and " + envSecret + ", " +
			"with which the call is signed where there is no token, where the gateway is that of `" + program + " local`, and where " + envEndpoint + " names it. " +
			"Any other session is called at its pod, through the API server: no gateway counts the call, so a session may be taken for idle meanwhile " +
			"whose agent does not say HealthyBusy.\n\n" +
			"A name is a session's, or else a runtime's; session/NAME and runtime/NAME say which.\n\n" +
			"A pipe or a file gets the bytes of the answer, and nothing else; a terminal what is printable of them, with an end to the last line.",
		Example: examples(t, `invoke echo --payload '{"hello":"world"}'`, "invoke runtime/echo --session-id a-session-of-my-own-with-33-characters -f question.json",
			`invoke research --payload '{"seconds":60}' --gateway https://agents.example.com`, "invoke echo - < question.json"),
		Args:              t.requireNames,
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) (err error) {
			ctx := command.Context()
			if v.cluster, err = t.connect(command); err != nil {
				return err
			}
			if v.body, err = v.read(ctx, command, names[1:]); err != nil {
				return err
			}
			v.out, v.err, v.safe = command.OutOrStdout(), command.ErrOrStderr(), terminal(command.OutOrStdout()) != nil
			return v.call(ctx, names[0])
		},
	}
	flags := command.Flags()
	flags.StringVar(&v.payload, "payload", "", "what is asked, as `JSON`")
	flags.StringVarP(&v.file, "filename", "f", "", "`file` with what is asked; - is standard input")
	flags.StringVar(&v.sessionID, "session-id", "", "which session of a runtime is meant, by its `id` of 33 characters at least; a new one else, whose id is shown")
	flags.StringVar(&v.contentType, "content-type", typeJSON, "`type` of what is asked")
	flags.StringVar(&v.accept, "accept", acceptAll, "`types` that the answer may have")
	flags.StringVar(&v.gatewayURL, "gateway", "", "`URL` of the gateway")
	return command
}

// read is what is asked.
func (v *invocation) read(ctx context.Context, command *cobra.Command, more []string) (body []byte, err error) {
	stdin := v.file == "-"
	if len(more) == 1 && more[0] == "-" {
		stdin, more = true, nil
	}
	given, from := command.Flags().Changed("payload"), ""
	switch {
	case len(more) > 0:
		return nil, fmt.Errorf("one name is wanted, and %q is more: what is asked is said by --payload, -f or -", more[0])
	case given == (stdin || v.file != ""):
		return nil, errors.New("what is to be asked? Give one of --payload JSON, -f FILE and -, which is standard input")
	case given:
		body, from = []byte(v.payload), "--payload"
	case stdin:
		body, err = readAll(ctx, command.InOrStdin())
		from = "standard input"
	default:
		var file *os.File
		if file, err = os.Open(v.file); err == nil {
			defer file.Close() //nolint:errcheck // it was read
			body, err = readAll(ctx, file)
		}
		from = v.file
	}
	if err != nil {
		return nil, fmt.Errorf("read what is asked from %s: %w", from, err)
	}
	if strings.HasPrefix(v.contentType, "application/json") && !json.Valid(body) {
		return nil, fmt.Errorf("%s is no JSON: quote it as your shell wants, or say with --content-type what it is", from)
	}
	return body, nil
}

// readAll reads to the end, unless ctx ends: who types may never.
func readAll(ctx context.Context, from io.Reader) ([]byte, error) {
	type result struct {
		body []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		body, err := io.ReadAll(io.LimitReader(from, contract.MaxPayloadBytes+1))
		done <- result{body, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case r := <-done:
		if len(r.body) > contract.MaxPayloadBytes {
			return nil, fmt.Errorf("it has more than %d bytes, which is AgentCore's limit", contract.MaxPayloadBytes)
		}
		return r.body, r.err
	}
}

// call calls who is meant by a name.
func (v *invocation) call(ctx context.Context, given string) error {
	ctx, cancel := context.WithCancel(ctx) // which ends what is forwarded
	defer cancel()
	kind, name, typed := strings.Cut(given, "/")
	if typed && slices.Contains(runtimeKinds, strings.ToLower(kind)) {
		return v.callRuntime(ctx, name, "", v.sessionID)
	}
	name, err := sessionName(given)
	if err != nil {
		return fmt.Errorf("%w; a runtime is runtime/NAME", err)
	}
	f, err := v.get(ctx, name)
	switch {
	case err == nil:
		return v.callSession(ctx, f)
	case !typed && (apierrors.IsForbidden(err) || v.isMissing(err)): // who may invoke only may read nothing
		return v.callRuntime(ctx, name, "", v.sessionID)
	case apierrors.IsNotFound(err):
		return v.missing(ctx, name, err)
	}
	return v.inWords(err)
}

func (v *invocation) callSession(ctx context.Context, f found) error {
	switch {
	case v.sessionID != "":
		return fmt.Errorf("AgentSession %q has an id of its own: leave out --session-id, or call its runtime by runtime/NAME", f.Name)
	case lifecycle.Reachable(f.AgentSession):
		return v.callRuntime(ctx, f.Spec.RuntimeRef.Name, f.Spec.RuntimeRef.Qualifier, f.Spec.RuntimeSessionID)
	}
	return v.callPod(ctx, f)
}

// callRuntime calls a session of a runtime through the gateway.
func (v *invocation) callRuntime(ctx context.Context, name, qualifier, sessionID string) error {
	d, err := v.open(ctx, v.gatewayURL)
	if err != nil {
		return err
	}
	to := lifecycle.InvocationsURL(d.url, v.namespace+"/"+name)
	if qualifier != "" {
		to += "?qualifier=" + url.QueryEscape(qualifier)
	}
	request, err := v.request(ctx, to)
	if err != nil {
		return err
	}
	if sessionID != "" {
		request.Header.Set(contract.HeaderSessionID, sessionID)
	}
	answer, err := send(d.transport, request)
	if err != nil {
		return d.inWords(err)
	}
	defer answer.Body.Close() //nolint:errcheck // what came of it is known
	id := answer.Header.Get(contract.HeaderSessionID)
	if id != "" && sessionID == "" {
		writeLines(v.err, "session id: "+printable(id))
	}
	err = v.show("the gateway", answer)
	if more := v.more(d, name, cmp.Or(sessionID, id), answer.StatusCode); more != "" && err != nil {
		err = fmt.Errorf("%w. %s", err, more)
	}
	return err
}

// more is what helps him whose call of a runtime was answered with a status.
func (v *invocation) more(d *gatewayClient, runtime, sessionID string, status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return d.notLetIn()
	case status == http.StatusNotFound:
		return fmt.Sprintf("It was asked for the runtime %q of namespace %s", runtime, v.namespace)
	case status == http.StatusFailedDependency && sessionID != "":
		return fmt.Sprintf("`%s explain %s -n %s` says why", v.tools.Self, explain.Quoted(printable(sessionID)), v.namespace)
	}
	return ""
}

// callPod calls a session at its pod.
func (v *invocation) callPod(ctx context.Context, f found) error {
	if v.gatewayURL != "" {
		return fmt.Errorf("AgentSession %q was not made by a call, so no gateway leads to it: leave out --gateway", f.Name)
	}
	pod, err := v.answering(ctx, f)
	if err != nil {
		return err
	}
	port := lifecycle.AgentPort(f.AgentSession)
	at, err := v.reach(ctx, pod, port)
	if err != nil {
		return err
	}
	writeLines(v.err, "note: straight to its pod. No gateway counts this call: unless its agent says HealthyBusy, the session may be taken for idle meanwhile")
	request, err := v.request(ctx, "http://"+at.String()+lifecycle.AgentPath(f.AgentSession))
	if err != nil {
		return err
	}
	request.Host = net.JoinHostPort("localhost", strconv.Itoa(int(port))) // as a gateway does: servers of MCP take no other
	request.Header.Set(contract.HeaderSessionID, cmp.Or(f.Spec.RuntimeSessionID, f.Status.RuntimeSessionID, string(f.UID)))
	request.Header.Set(contract.HeaderRequestID, string(uuid.NewUUID()))
	answer, err := send(&http.Transport{DisableCompression: true}, request)
	if err != nil {
		return fmt.Errorf("call the agent: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // what came of it is known
	return v.show("the agent", answer)
}

func (v *invocation) request(ctx context.Context, to string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(v.body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	r.Header.Set("Content-Type", v.contentType)
	r.Header.Set("Accept", v.accept)
	r.Header.Set("User-Agent", program)
	return r, nil
}

// send sends a request once: an agent may have begun what it is asked for.
func send(way http.RoundTripper, r *http.Request) (*http.Response, error) {
	r.GetBody = nil
	client := &http.Client{Transport: way, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		if failed, is := errors.AsType[*url.Error](err); is {
			err = failed.Err // whose URL is of a port that was forwarded
		}
		return nil, err
	}
	return answer, nil
}

// show writes an answer as it comes. One that is none of 2xx is an error, unless take gets it.
func (v *invocation) show(who string, answer *http.Response) error {
	if v.take != nil {
		return v.take(answer)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return v.refusal(who, answer)
	}
	var err error
	if v.safe {
		err = copyLines(v.out, answer.Body)
	} else {
		_, err = io.Copy(v.out, answer.Body)
	}
	if err != nil {
		return fmt.Errorf("the answer ended before its end: %w", err)
	}
	return nil
}

// copyLines copies what is printable, and ends the last line.
func copyLines(to io.Writer, from io.Reader) error {
	last := &lastByte{Writer: to}
	err := copyPrintable(last, from)
	if last.wrote && last.byte != '\n' {
		writeLines(to, "")
	}
	return err
}

// lastByte knows how a text ended.
type lastByte struct {
	io.Writer
	wrote bool
	byte  byte
}

func (l *lastByte) Write(text []byte) (int, error) {
	if len(text) > 0 {
		l.wrote, l.byte = true, text[len(text)-1]
	}
	return l.Writer.Write(text)
}
