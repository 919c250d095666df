package agentruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"
)

// Logger is the App's log, for the agent's own lines: what is logged with the
// context of an invocation or a task carries its session and request ids. With
// slog.SetDefault(app.Logger()) that is true of slog.InfoContext too.
func (a *App) Logger() *slog.Logger { return a.log }

// idHandler adds the sessionId and the requestId of the context to each line.
type idHandler struct{ slog.Handler }

func (h idHandler) Handle(ctx context.Context, r slog.Record) error {
	found := invocationOf(ctx)
	if found.session != "" {
		r.AddAttrs(slog.String("sessionId", found.session))
	}
	if found.request != "" {
		r.AddAttrs(slog.String("requestId", found.request))
	}
	return h.Handler.Handle(ctx, r)
}

func (h idHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return idHandler{h.Handler.WithAttrs(attrs)}
}

func (h idHandler) WithGroup(name string) slog.Handler {
	return idHandler{h.Handler.WithGroup(name)}
}

// jsonLines writes lines with the keys of AWS's SDK for Python.
func jsonLines(w io.Writer) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			switch {
			case len(groups) > 0:
			case a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime:
				return slog.String("timestamp", a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
			case a.Key == slog.MessageKey:
				a.Key = "message"
			}
			return a
		},
	})
}

// errorAttrs are the attributes of a line about err.
func errorAttrs(err error) []any {
	attrs := []any{"errorType", fmt.Sprintf("%T", err), "errorMessage", fmt.Sprint(err)}
	if p := (*PanicError)(nil); errors.As(err, &p) {
		attrs = append(attrs, "stackTrace", string(p.Stack))
	}
	return attrs
}

// seconds are rounded to milliseconds, for people who read.
func seconds(d time.Duration) float64 {
	return math.Round(d.Seconds()*1e3) / 1e3
}
