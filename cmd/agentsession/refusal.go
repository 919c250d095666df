package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// maxRefusal is how much of an error's text is shown.
const maxRefusal = 8 << 10

// refusal is an answer that is none of 2xx, with what it says. A text that comes in pieces is
// shown as it comes; of JSON, which makes sense as a whole only, the message is.
func (v *invocation) refusal(who string, answer *http.Response) error {
	kind := strings.TrimSpace(answer.Status + " " + answer.Header.Get("X-Amzn-ErrorType"))
	body := io.LimitReader(answer.Body, maxRefusal)
	if answer.ContentLength < 0 && !isJSON(answer.Header.Get("Content-Type")) {
		_ = copyLines(v.err, body) // what came is shown
		return fmt.Errorf("%s answered %s", who, kind)
	}
	text, _ := io.ReadAll(body) // as above
	var says struct {
		Message string `json:"message"`
		Error   struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	what := strings.TrimSpace(string(text))
	if json.Unmarshal(text, &says) == nil { // AgentCore's envelope, or JSON-RPC's
		what = cmp.Or(says.Message, says.Error.Message, what)
	}
	if what == "" {
		return fmt.Errorf("%s answered %s", who, kind)
	}
	return fmt.Errorf("%s answered %s: %s", who, kind, what)
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}
