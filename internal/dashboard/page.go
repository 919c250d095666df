package dashboard

import (
	"bytes"
	"embed"
	"net/http"
	"path"
	"time"
)

//go:embed page
var page embed.FS

// mediaTypes are those of the page's files. Others are not served.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

func serveIndex(w http.ResponseWriter, r *http.Request) { serveFile(w, r, "index.html") }

func serveAsset(w http.ResponseWriter, r *http.Request) { serveFile(w, r, r.PathValue("file")) }

func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	kind := mediaTypes[path.Ext(name)]
	text, err := page.ReadFile("page/" + name)
	if err != nil || kind == "" {
		refuse(w, http.StatusNotFound, "the page has no such file")
		return
	}
	w.Header().Set("Content-Type", kind)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}
