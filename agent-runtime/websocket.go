package agentruntime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// maxMessage is far beyond AgentCore's 64 KB for a frame; a message may consist
// of many.
const maxMessage = 16 << 20

// WebSocketHandler serves one WebSocket. The connection is closed when it
// returns: with 1000 (normal closure), or with 1011 (internal error) and no
// reason after an error or a panic. The context is that of an invocation, but
// does not end when the client goes, of which reading tells.
type WebSocketHandler func(ctx context.Context, conn *websocket.Conn) error

// WebSocket makes h serve /ws from now on. Without one the handshake is refused
// with 403, and so it is from a web page of another origin.
func (a *App) WebSocket(h WebSocketHandler) { a.webSocket.Store(&h) }

func (a *App) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	handler := a.webSocket.Load()
	if handler == nil || *handler == nil {
		code, body := errorAnswer(&HTTPError{Code: http.StatusForbidden, Message: "No WebSocket handler defined"})
		a.write(r.Context(), w, code, body)
		return
	}
	// net/http ends the request's context where the client goes before Accept has taken the
	// connection over, and not after.
	ctx, done, ok := a.enter(context.WithoutCancel(r.Context()), w, r.Header, "WebSocket")
	if !ok {
		return
	}
	defer done()
	conn, err := websocket.Accept(w, r, nil)
	if err != nil { // Accept has answered
		a.log.WarnContext(ctx, "WebSocket refused", "error", err.Error())
		return
	}
	conn.SetReadLimit(maxMessage)
	start := time.Now()
	err = func() (err error) {
		defer recoverAs(&err)
		return (*handler)(ctx, conn)
	}()
	code := websocket.StatusNormalClosure
	switch left := websocket.CloseStatus(err); {
	case left == websocket.StatusNormalClosure, left == websocket.StatusGoingAway, errors.Is(err, io.EOF):
		err = nil // the client closed or is gone, and the handler passed that on
	case err != nil:
		code = websocket.StatusInternalError
	}
	a.logEnd(ctx, "WebSocket", start, err)
	_ = conn.Close(code, "") // a client that is gone needs none
}
