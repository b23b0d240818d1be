package apiserver

import (
	"net/http"
	"net/url"
	"strings"
)

// uncached has no response stored by a cache, or interpreted as another type than it has: responses of an API may hold
// secrets, and some requests must reach the server each time. This is the default of every response, those to unknown
// paths and those of failures included. A handler may set another Cache-Control.
func uncached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// normalPaths has requests answered whose path begins with basePath, has a slash at its end, or several in a row: a
// client may be configured with the URL http://host/api/. There is no redirect, after which curl would repeat a POST as
// GET. A path without basePath is answered, too: health checks often reach the server without the proxy that adds it.
func normalPaths(next http.Handler, basePath string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u := normalURL(r.URL, basePath); u != r.URL {
			normal := *r
			normal.URL = u
			r = &normal
		}
		next.ServeHTTP(w, r)
	})
}

// normalURL returns u itself if its path is normal. Escaped slashes, which are a part of an ID, are left alone.
func normalURL(u *url.URL, basePath string) *url.URL {
	written := u.Path
	if u.RawPath != "" { // the path as it was sent, if that is not how Go would escape it
		written = u.RawPath
	}
	path := normalPath(written, basePath)
	if path == written {
		return u
	}
	normal := *u
	if u.RawPath == "" {
		normal.Path = path
		return &normal
	}
	unescaped, err := url.PathUnescape(path)
	if err != nil {
		return u
	}
	normal.Path, normal.RawPath = unescaped, path
	return &normal
}

// normalPath removes basePath, and superfluous slashes.
func normalPath(path, basePath string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if rest, ok := strings.CutPrefix(path, basePath); ok && (rest == "" || rest[0] == '/') {
		path = rest
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	if path == "" {
		path = "/"
	}
	return path
}
