package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"

	"gatehouse/conformance"
)

// hostileRequest is a request as bytes, which no HTTP client would send.
type hostileRequest struct {
	random    *rand.Rand
	generated *conformance.GeneratedRequest
	at        string   // which request of the run it is
	how       []string // the alterations
	bytes     []byte   // what is sent

	// The parts of the request.
	method, target, protocol string
	header                   []string // lines, which end with lineEnd
	lineEnd                  string
	body                     []byte
	length                   string // the Content-Length; "" is that of the body
	chunked                  bool
	end                      string // what follows the body

	// moved means that the request may be one to any operation, or to none.
	moved bool
	// stranger means that it is not known whether the credential is valid.
	stranger bool
	// mayBeDropped means that the connection may end without a response.
	mayBeDropped bool
	// cut means that the bytes end somewhere, and halfClosed that the client tells the server that nothing follows.
	cut, halfClosed bool
}

// errDropped is returned when the connection ends without a whole response.
var errDropped = errors.New("the connection ended without a whole response")

// make alters the generated request in one to three ways.
func (h *hostileRequest) make() {
	g := h.generated
	h.method, h.target, h.protocol, h.lineEnd, h.body = g.Method, g.Target, "HTTP/1.1", "\r\n", g.Body
	h.header = []string{"Host: gatehouse.example", "Connection: close"}
	for _, name := range slices.Sorted(maps.Keys(g.Header)) {
		for _, value := range g.Header[name] {
			h.header = append(h.header, name+": "+value)
		}
	}
	for range 1 + h.random.IntN(6)/3 + h.random.IntN(6)/5 {
		kinds := [][]alteration{pathAlterations, headerAlterations, transferAlterations}
		if len(g.Body) > 0 { // most of what can go wrong is in bodies
			kinds = append(kinds, bodyAlterations, bodyAlterations, bodyAlterations, bodyAlterations)
		}
		kind := kinds[h.random.IntN(len(kinds))]
		alteration := kind[h.random.IntN(len(kind))]
		h.how = append(h.how, alteration.name)
		alteration.change(h)
	}
	h.encode()
}

// encode makes the bytes of the parts.
func (h *hostileRequest) encode() {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s %s\r\n", h.method, h.target, h.protocol)
	for _, line := range h.header {
		out.WriteString(line + h.lineEnd)
	}
	switch {
	case h.chunked:
		out.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	case h.length != "":
		out.WriteString("Content-Length: " + h.length + "\r\n\r\n")
	case len(h.body) > 0:
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n", len(h.body))
	default:
		out.WriteString("\r\n")
	}
	h.mayBeDropped = h.mayBeDropped || out.Len() > headersRead
	out.Write(h.body)
	out.WriteString(h.end)
	h.bytes = out.Bytes()
	if h.cut {
		h.bytes = h.bytes[:h.random.IntN(len(h.bytes))]
	}
}

// alteration changes parts of a request.
type alteration struct {
	name   string
	change func(*hostileRequest)
}

// breaking returns an alteration after which the request may be no HTTP. net/http then closes the connection without
// having read what the client still sends, so that the response may be lost.
func breaking(a alteration) alteration {
	return alteration{a.name, func(h *hostileRequest) {
		a.change(h)
		h.mayBeDropped = true
	}}
}

func (h *hostileRequest) oneOf(texts ...string) string { return texts[h.random.IntN(len(texts))] }

// moves returns an alteration of the target, after which another operation may be meant, or none.
func moves(name string, change func(h *hostileRequest, path string) string) alteration {
	return alteration{name, func(h *hostileRequest) {
		path, query, found := strings.Cut(h.target, "?")
		h.target, h.moved = change(h, path), true
		if found {
			h.target += "?" + query
		}
	}}
}

// queries returns an alteration of the query.
func queries(name string, change func(h *hostileRequest, query string) string) alteration {
	return alteration{name, func(h *hostileRequest) {
		path, query, _ := strings.Cut(h.target, "?")
		h.target = path + "?" + change(h, query)
	}}
}

const (
	// headersRead is a size of headers up to which the server reads them, so that a refusal reaches the client.
	headersRead = 12_000

	longTarget  = 6_000
	longHeader  = 100_000
	longQuery   = 30_000
	hugeText    = 300_000
	manyMembers = 20_000
	deepNesting = 50_000
	// zipped is larger than any body that is no import may be, and a thousand times as large as when it is compressed.
	zipped = 8 << 20
)

var pathAlterations = []alteration{
	moves("// in the path", func(h *hostileRequest, path string) string {
		return h.replaceSlash(path, "//", "///")
	}),
	breaking(moves("an encoded slash", func(h *hostileRequest, path string) string {
		return h.replaceSlash(path, "%2f", "%2F", "%5c", "%252f")
	})),
	moves("a dot segment", func(h *hostileRequest, path string) string {
		return h.replaceSlash(path, "/./", "/../", "/%2e%2e/", "/..;/", "/x/../")
	}),
	breaking(moves("something behind the path", func(h *hostileRequest, path string) string {
		return path + h.oneOf("%00", "%00.json", "/", "//", ";x=1", ".json", "%20", "%0d%0aX: y", "%ff", "%", "%zz", "%c0%af", "~")
	})),
	moves("a long path", func(_ *hostileRequest, path string) string {
		return path + "/" + strings.Repeat("a", longTarget)
	}),
	moves("another case", func(_ *hostileRequest, path string) string { return strings.ToUpper(path) }),
	breaking(moves("another form of target", func(h *hostileRequest, path string) string {
		return h.oneOf("http://elsewhere.example"+path, "*", "elsewhere.example:80", strings.TrimPrefix(path, "/"), `\`+path, "/", "")
	})),
	breaking(moves("bytes in the path", func(h *hostileRequest, path string) string {
		return path + h.oneOf("\x00", "\x7f", "\xff\xfe", "ü", "\t", " x", `"`, "<script>", "{userId}", ":userId")
	})),
	queries("a repeated parameter", func(_ *hostileRequest, query string) string {
		if query == "" {
			query = "p=1"
		}
		return query + "&" + query
	}),
	queries("parameters of another type", func(h *hostileRequest, _ string) string {
		name := h.oneOf("p", "hashed", "nonce", "q", "sort", "compressed", "auth_type", "active", "org_id", "suppress_reset")
		return name + "=" + h.oneOf("", "-1", "-2", "0", "1e9", "99999999999999999999", "1&"+name+"=2", "%00", "%ff", "[]", "null", "true")
	}),
	queries("a broken query", func(h *hostileRequest, query string) string {
		return query + h.oneOf("&&&=&", "%zz", "%", ";a=b", "&p[]=1", "&p%00=1", "#x", "?", "&=")
	}),
	queries("a long query", func(h *hostileRequest, query string) string {
		return query + h.oneOf("&x="+strings.Repeat("a", longQuery), strings.Repeat("&p=1", longQuery/8), "&nonce="+strings.Repeat("9", longQuery))
	}),
	breaking(alteration{"another method", func(h *hostileRequest) {
		h.method, h.moved = h.oneOf("HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PUT", "POST", "DELETE", "GET", "get",
			"PROPFIND", "X", strings.Repeat("M", longQuery)), true
	}}),
}

// replaceSlash returns a path with one of the texts in place of one of its slashes.
func (h *hostileRequest) replaceSlash(path string, texts ...string) string {
	segments := strings.Split(path, "/")
	if len(segments) == 1 {
		return path
	}
	i := 1 + h.random.IntN(len(segments)-1)
	return strings.Join(segments[:i], "/") + h.oneOf(texts...) + strings.Join(segments[i:], "/")
}

// adds returns an alteration that adds a line to the header.
func adds(name string, lines ...string) alteration {
	return alteration{name, func(h *hostileRequest) { h.header = append(h.header, h.oneOf(lines...)) }}
}

// without returns the header without the lines of a name.
func without(header []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(header), func(line string) bool {
		return strings.HasPrefix(strings.ToLower(line), strings.ToLower(name)+":")
	})
}

var headerAlterations = []alteration{
	breaking(alteration{"no host", func(h *hostileRequest) { h.header = without(h.header, "Host") }}),
	breaking(adds("another host", "Host: elsewhere.example", "Host: ", "Host: a b", "Host: [::1", "X-Forwarded-Host: elsewhere.example")),
	breaking(adds("addresses", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: "+strings.Repeat("9.9.9.9, ", 1000), "X-Real-Ip: \x01",
		"Forwarded: for=_gatehouse", "X-Forwarded-Proto: javascript", "X-Forwarded-Prefix: //elsewhere.example")),
	breaking(adds("a request ID", "X-Request-Id: "+strings.Repeat("x", 5000), "X-Request-Id: a\" status=500 level=ERROR msg=\"x",
		"X-Request-Id: \xff\xfe", "X-Request-Id: ")),
	adds("a media type", "Content-Type: text/plain", "Content-Type: application/json; charset=utf-16", "Content-Type: ",
		"Content-Type: multipart/form-data", "Content-Type: /", "Content-Type: application/x-www-form-urlencoded"),
	adds("what is accepted", "Accept-Encoding: gzip;q=0, zstd;q=1.0000001", "Accept-Encoding: "+strings.Repeat("gzip, ", 2000),
		"Accept: text/html", "Accept-Encoding: zstd", "Accept-Encoding: gzip", "Range: bytes=0-1", "If-None-Match: *"),
	adds("an expectation", "Expect: 100-continue", "Expect: nothing"),
	adds("an upgrade", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "Upgrade: websocket\r\nSec-WebSocket-Key: x"),
	breaking(adds("a broken line", "No colon", " : x", "Name : x", "X: a\rb", "X: a\nb", "X: \x00", "\x00: x", "X:\r\n folded", strings.Repeat("h", 300)+": x")),
	adds("overriding", "X-HTTP-Method-Override: DELETE", "X-Original-URL: /admin/users", "X-Rewrite-URL: /admin/organisations",
		"x-tyk-authorization: "+testControlSecret, "Cookie: authorisation=x; "+strings.Repeat("c=d; ", 500)),
	breaking(alteration{"a long header", func(h *hostileRequest) { h.header = append(h.header, "X-Long: "+strings.Repeat("x", longHeader)) }}),
	breaking(alteration{"many headers", func(h *hostileRequest) {
		for i := range 3000 {
			h.header = append(h.header, fmt.Sprintf("X-%d: x", i))
		}
	}}),
	{"a second credential", func(h *hostileRequest) {
		name := h.oneOf("Authorization", "Admin-Auth")
		second := name + ": " + h.oneOf("", "gatehouse-check-wrong-credential", "Bearer gatehouse-check-wrong-credential", "Basic YTpi")
		h.stranger = true
		if h.random.IntN(2) == 0 {
			h.header = append(h.header, second)
		} else {
			h.header = slices.Insert(h.header, 0, second)
		}
	}},
	breaking(alteration{"a credential of other bytes", func(h *hostileRequest) {
		name := h.oneOf("Authorization", "Admin-Auth")
		h.header = append(without(h.header, name), name+": "+
			h.oneOf("gatehouse-check-wrong-credential ", strings.Repeat("A", longQuery), "%00", "\xc3\x28", "' OR '1'='1", "$2y$"))
		h.generated.Refused = h.generated.Operation.CredentialHeader == name || h.generated.Refused
	}}),
	{"another version of HTTP", func(h *hostileRequest) {
		h.protocol, h.mayBeDropped = h.oneOf("HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/3", "", "http/1.1", "ICAP/1.0"), true
	}},
}

// placeholder stands in a body for text that is no JSON value that Go would encode.
const placeholder = "gatehouse-fuzz-here"

// texts returns an alteration that puts text in the place of a value of the body.
func texts(name string, choose func(h *hostileRequest) string) alteration {
	return alteration{name, func(h *hostileRequest) {
		var body any
		if json.Unmarshal(h.body, &body) != nil {
			return
		}
		text, err := json.Marshal(h.replaced(body))
		if err != nil {
			return
		}
		h.body = bytes.Replace(text, []byte(`"`+placeholder+`"`), []byte(choose(h)), 1)
	}}
}

// replaced returns a JSON value with the placeholder in one place: instead of another value, or as an unknown member.
func (h *hostileRequest) replaced(v any) any {
	const stop = 4 // one of so many values that have others is replaced itself
	switch v := v.(type) {
	case map[string]any:
		names := append(slices.Sorted(maps.Keys(v)), "gatehouse_fuzz")
		if h.random.IntN(stop) == 0 {
			break
		}
		changed := maps.Clone(v)
		name := names[h.random.IntN(len(names))]
		changed[name] = h.replaced(v[name])
		return changed
	case []any:
		if len(v) == 0 || h.random.IntN(stop) == 0 {
			break
		}
		changed := slices.Clone(v)
		i := h.random.IntN(len(v))
		changed[i] = h.replaced(v[i])
		return changed
	}
	return placeholder
}

// changesBody returns an alteration of the bytes of a body.
func changesBody(name string, change func(h *hostileRequest) []byte) alteration {
	return alteration{name, func(h *hostileRequest) { h.body = change(h) }}
}

// inner returns the text of a JSON object without its braces, with a comma behind it unless it is empty.
func inner(body []byte) string {
	text := strings.TrimSpace(string(body))
	if len(text) < 2 || text[0] != '{' {
		return ""
	}
	if text = text[1 : len(text)-1]; strings.TrimSpace(text) == "" {
		return ""
	}
	return text + ","
}

func utf16Bytes(text string) []byte {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return out
}

var bodyAlterations = []alteration{
	texts("a number", func(h *hostileRequest) string {
		return h.oneOf("1e400", "-1e400", "1e-400", "-0", "1.0", "99999999999999999999999999", "1E5", "9007199254740993",
			"-9223372036854775809", "0."+strings.Repeat("1", 5000), strings.Repeat("9", 5000))
	}),
	texts("a string", func(h *hostileRequest) string {
		return h.oneOf(`"\ud800"`, `"\udc00\ud800"`, `"\u0000"`, "\"\xff\xfe\"", `"\uD83D\uDE00"`, `"`+strings.Repeat("x", hugeText)+`"`,
			`"`+strings.Repeat(`\u0041`, 10_000)+`"`, `"<no value>"`, `"../../../etc/passwd"`, `"%s%n"`, `"{{.}}"`, `"$oid"`)
	}),
	texts("null", func(*hostileRequest) string { return "null" }),
	texts("another value", func(h *hostileRequest) string {
		return h.oneOf(`{"$oid":"53ac07777cbb8c2d53000002"}`, `{"$oid":1}`, `[[]]`, `{"":{"":{}}}`, `true`, `[null]`, `{"__proto__":{}}`)
	}),
	texts("broken JSON", func(h *hostileRequest) string {
		return h.oneOf("NaN", "01", "'x'", "{", "]", "undefined", "1.", "+1", `"`+"\n"+`"`, "// comment\n1", "{a:1}", "[1,]", `"\x"`, `"\u12"`, "0x10")
	}),
	texts("deep nesting", func(h *hostileRequest) string {
		depth := []int{90, 900, 9_999, 10_001, deepNesting}[h.random.IntN(5)]
		if h.random.IntN(2) == 0 {
			return strings.Repeat("[", depth) + strings.Repeat("]", depth)
		}
		return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
	}),
	texts("unclosed nesting", func(h *hostileRequest) string {
		return strings.Repeat(h.oneOf("[", `{"a":`, `[{"a":[`), deepNesting)
	}),
	texts("many members", func(h *hostileRequest) string {
		var out strings.Builder
		for i := range manyMembers {
			fmt.Fprintf(&out, `"%d":{},`, i)
		}
		return "{" + out.String() + h.oneOf(`"0":1}`, `"x":[]}`)
	}),
	texts("many elements", func(h *hostileRequest) string {
		return "[" + strings.Repeat(h.oneOf("{},", "[],", "1,", `"",`), manyMembers) + "1]"
	}),
	changesBody("duplicate members", func(h *hostileRequest) []byte {
		members := inner(h.body)
		if h.random.IntN(2) == 0 { // with other values the second time
			members += strings.NewReplacer(`:"`, `:"x`, ":true", ":false", ":false", ":true", "[", "[1,").Replace(members)
		} else {
			members += members
		}
		return []byte("{" + strings.TrimSuffix(members, ",") + "}")
	}),
	changesBody("members in another case", func(h *hostileRequest) []byte {
		members := strings.TrimSuffix(inner(h.body), ",")
		return []byte("{" + inner(h.body) + h.oneOf(strings.ToUpper(members), strings.ReplaceAll(members, "s", "ſ"),
			strings.ReplaceAll(members, "k", "\u212a")) + "}")
	}),
	changesBody("members that no schema declares", func(h *hostileRequest) []byte {
		return []byte("{" + inner(h.body) + h.oneOf(`"IsAdmin":true,"is_admin":true`, `"user_permissions":{"IsAdmin":"admin","ResetPassword":"deny"}`,
			`"access_key":"","password":"hunter22"`, `"_id":"53ac07777cbb8c2d53000002","id":null`, `"":""`, `"apis":[{}],"Data":[{}]`,
			`"org_id":""`, `"`+strings.Repeat("k", hugeText)+`":1`) + "}")
	}),
	changesBody("no body", func(h *hostileRequest) []byte {
		return []byte(h.oneOf("", " ", "\n\n", "\x00", "{}", "[]", "null", `""`, "0"))
	}),
	changesBody("a truncated body", func(h *hostileRequest) []byte { return h.body[:h.random.IntN(len(h.body)+1)] }),
	changesBody("a changed byte", func(h *hostileRequest) []byte {
		body := slices.Clone(h.body)
		if len(body) > 0 {
			body[h.random.IntN(len(body))] = byte(h.random.IntN(256))
		}
		return body
	}),
	changesBody("more behind the body", func(h *hostileRequest) []byte {
		return append(slices.Clone(h.body), h.oneOf("{}", "x", "\x00", ",", "]", "\xef\xbb\xbf", "   ", string(h.body))...)
	}),
	changesBody("another encoding of characters", func(h *hostileRequest) []byte {
		if h.random.IntN(2) == 0 {
			return append([]byte("\xef\xbb\xbf"), h.body...)
		}
		return utf16Bytes(string(h.body))
	}),
	changesBody("a list in place of an object", func(h *hostileRequest) []byte { return slices.Concat([]byte("["), h.body, []byte("]")) }),
	compressed("gzip", func(body []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(body)
		_ = w.Close()
		return out.Bytes()
	}),
	compressed("zstd", func(body []byte) []byte {
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err) // the options are fixed
		}
		return encoder.EncodeAll(body, nil)
	}),
	{"an unknown coding", func(h *hostileRequest) {
		h.header = append(h.header, "Content-Encoding: "+h.oneOf("br", "deflate", "gzip", "zstd", "gzip, gzip", "identity", "", "GZIP", "gzip;q=1"))
	}},
}

// compressed returns an alteration that compresses the body: as it is, broken, twice, or as one that grows.
func compressed(coding string, compress func([]byte) []byte) alteration {
	return alteration{coding, func(h *hostileRequest) {
		h.header = append(h.header, "Content-Encoding: "+coding)
		body := h.body
		switch h.random.IntN(6) {
		case 0:
			body = slices.Concat([]byte("{"+inner(body)+`"x":"`), bytes.Repeat([]byte("x"), zipped), []byte(`"}`))
		case 1:
			body = slices.Concat([]byte("{"+inner(body)+`"x":[`), bytes.Repeat([]byte("[],"), zipped/8), []byte("1]}"))
		case 2:
			body = compress(body)
		}
		h.body = compress(body)
		switch h.random.IntN(6) {
		case 0:
			h.body = h.body[:h.random.IntN(len(h.body))]
		case 1:
			h.body[h.random.IntN(len(h.body))] ^= 0x55
		case 2:
			h.body = append(h.body, h.body...) // two members
		}
	}}
}

var transferAlterations = []alteration{
	{"a longer Content-Length", func(h *hostileRequest) {
		h.length, h.mayBeDropped = strconv.Itoa(len(h.body)+1+h.random.IntN(1000)), true
		h.halfClosed = h.random.IntN(4) > 0
	}},
	breaking(alteration{"a shorter Content-Length", func(h *hostileRequest) {
		h.length = strconv.Itoa(h.random.IntN(len(h.body) + 1))
	}}),
	{"a Content-Length that is none", func(h *hostileRequest) {
		h.length = h.oneOf("-1", "+5", "0x10", "1e3", "99999999999999999999", "9223372036854775807", " ", "5, 5", "5\r\nContent-Length: 6", "00000000000000000005")
		h.halfClosed, h.mayBeDropped = true, true
	}},
	{"both lengths", func(h *hostileRequest) {
		h.header = append(h.header, "Transfer-Encoding: "+h.oneOf("chunked", "identity", "gzip, chunked", "xchunked", "chunked, chunked", "\x0bchunked"))
		h.halfClosed, h.mayBeDropped = true, true
	}},
	{"chunks", func(h *hostileRequest) { h.chunk("0\r\n\r\n") }},
	breaking(alteration{"chunks with trailers", func(h *hostileRequest) {
		h.chunk("0\r\n" + h.oneOf("Admin-Auth: "+testAdminSecret+"\r\n", "Content-Length: 5\r\n", "X: "+strings.Repeat("x", longHeader)+"\r\n", "broken\r\n") + "\r\n")
	}}),
	{"broken chunks", func(h *hostileRequest) {
		h.chunk(h.oneOf("", "zz\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "0\r\n", "5\r\nab", "0;"+strings.Repeat("x", longHeader)+"\r\n\r\n", "\r\n", "0\n\n"))
		h.halfClosed, h.mayBeDropped = true, true
	}},
	breaking(alteration{"another request behind it", func(h *hostileRequest) {
		h.end = h.oneOf("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "garbage\r\n\r\n", strings.Repeat("\r\n", 1000), strings.Repeat("x", hugeText))
	}}),
	{"an end in the middle", func(h *hostileRequest) {
		h.cut, h.halfClosed, h.mayBeDropped, h.stranger, h.moved = true, true, true, true, true
	}},
	{"line feeds only", func(h *hostileRequest) {
		h.moved, h.lineEnd = true, "\n"
	}},
}

// chunk sends the body in chunks, with an end.
func (h *hostileRequest) chunk(end string) {
	if h.chunked {
		return
	}
	var out bytes.Buffer
	size := []int{1, 7, 1000, 1 << 16}[h.random.IntN(4)]
	size = max(size, len(h.body)/1000) // few enough for a test
	for piece := range slices.Chunk(h.body, size) {
		fmt.Fprintf(&out, "%x\r\n%s\r\n", len(piece), piece)
	}
	h.body, h.chunked, h.end = out.Bytes(), true, end
}

// send sends the bytes, and returns the response.
func (h *hostileRequest) send(ctx context.Context, dialer *net.Dialer, address string) (conformance.Received, error) {
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return conformance.Received{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(bound)); err != nil {
		return conformance.Received{}, err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		if _, err := conn.Write(h.bytes); err == nil && h.halfClosed {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	received, err := h.receive(bufio.NewReader(conn))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		err = fmt.Errorf("%w: %w", errDropped, err)
	}
	_ = conn.Close() // ends a write that the server does not read
	<-written
	return received, err
}

func (h *hostileRequest) receive(in *bufio.Reader) (received conformance.Received, err error) {
	for {
		response, err := http.ReadResponse(in, &http.Request{Method: h.method})
		switch {
		case err != nil:
			return received, err
		case response.StatusCode == http.StatusContinue:
			continue
		}
		defer response.Body.Close()
		received.Status, received.Header = response.StatusCode, response.Header
		received.Body, err = decoded(response)
		return received, err
	}
}

// decoded returns the body of a response without its Content-Encoding.
func decoded(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(response.Body)
	if err != nil || len(body) == 0 {
		return body, err
	}
	switch response.Header.Get("Content-Encoding") {
	case "gzip":
		in, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(in)
	case "zstd":
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer decoder.Close()
		return decoder.DecodeAll(body, nil)
	}
	return body, nil
}

// httpRefusals are the statuses with which net/http refuses what is no HTTP, before any handler sees it.
var httpRefusals = []int{
	http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusExpectationFailed,
	http.StatusRequestHeaderFieldsTooLarge, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported,
}

// check returns how a response is against the contract.
func (h *hostileRequest) check(sandbox *conformance.Sandbox, received conformance.Received) []conformance.Difference {
	isText := strings.HasPrefix(received.Header.Get("Content-Type"), "text/plain")
	if slices.Contains(httpRefusals, received.Status) && (isText || received.Status == http.StatusExpectationFailed) {
		return nil
	}
	if h.halfClosed && received.Status >= http.StatusBadRequest {
		return nil // net/http cancels the request of a client that has closed its side of the connection, at any point
	}
	const unknown = `{"Status":"Error","Message":"Not Found","Meta":null}`
	if received.Status == http.StatusNotFound && string(received.Body) == unknown && h.moved {
		return nil
	}
	if h.method == http.MethodHead {
		return h.checkHead(received)
	}
	if h.stranger {
		h.generated.Refused = false
	}
	if h.moved {
		return sandbox.CheckUnknown(h.generated, received)
	}
	return sandbox.Check(h.generated, received, true)
}

// checkHead returns how the response to a HEAD is wrong, which has no body by which it could be recognised.
func (h *hostileRequest) checkHead(received conformance.Received) []conformance.Difference {
	if received.Status >= http.StatusInternalServerError || len(received.Body) > 0 {
		return []conformance.Difference{{Pointer: "HEAD", Reason: fmt.Sprintf("status %d with %d bytes", received.Status, len(received.Body))}}
	}
	return nil
}

// command returns a command line that repeats the request.
func (h *hostileRequest) command(address string) string {
	const longest = 3000
	host, port, _ := net.SplitHostPort(address)
	if len(h.bytes) > longest {
		return fmt.Sprintf("%d bytes, which begin with %q", len(h.bytes), h.bytes[:longest/10])
	}
	quoted := strconv.QuoteToASCII(string(h.bytes))
	return fmt.Sprintf("printf '%%b' %s | nc -q 3 %s %s",
		"'"+strings.ReplaceAll(quoted[1:len(quoted)-1], "'", `'\''`)+"'", host, port)
}
