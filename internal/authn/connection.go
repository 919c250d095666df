package authn

import "net/http"

// CloseIfChunked has the connection of a request end with its answer if the request has a
// Transfer-Encoding. It may have had a Content-Length too, which net/http has dropped, and what
// stands before the server may have gone by that (RFC 9112, 6.1): what it takes for the rest of
// the one request, which may hold another's token, would be taken for the next.
func CloseIfChunked(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
}
