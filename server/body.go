package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/httpbody"
	"gatehouse/internal/fairqueue"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
)

const (
	// maxBody is the maximum size in bytes of a body that is not an import, unless its operation has x-max-body. A user
	// has a few hundred bytes.
	maxBody = 256 << 10
	// maxValues bounds the values in a body, because a value takes memory whatever its size. The session of a key for
	// 1,000 APIs has about 20,000. A body that may be larger than others may have a value for each bytesPerValue:
	// OpenAPI documents have one for each 25 to 40.
	maxValues     = 50_000
	bytesPerValue = 20
	// valueMemory is the memory in bytes that parsing a value takes at most: its name, and where the name is.
	valueMemory = 150
	// yamlValueMemory is valueMemory for a body that may be YAML, which is parsed to a tree of nodes first.
	yamlValueMemory = 1000
	// smallBody is the size in bytes up to which a body that is neither compressed nor YAML is decoded at once. The memory
	// that it takes is that of a connection.
	smallBody = 16 << 10
	// decodingMemory bounds the memory in bytes of larger bodies that are decoded at the same time; others wait. It is
	// enough for one of the largest: they take a few hundredths of a second each.
	decodingMemory = 16 << 20
	// parsedMemory bounds the memory in bytes of larger bodies from when they are decoded until the response, and
	// parsedMemoryOfOne that of an organisation's; others wait, as the client has encoded them. It is enough for eight of
	// the largest.
	parsedMemory      = 32 << 20
	parsedMemoryOfOne = parsedMemory / 2
	// maxBodyWait is how long a body waits for that.
	maxBodyWait = 10 * time.Second
	// documentCopies is how many copies of an API or a policy are in memory while it is completed, checked and stored.
	documentCopies = 8
	// documentMemory bounds the memory in bytes of larger ones that are stored at the same time, and documentMemoryOfOne
	// that of an organisation's, which may wait for rows in the database; others wait.
	documentMemory      = 32 << 20
	documentMemoryOfOne = documentMemory / 2
	// yamlMemory bounds the memory in bytes of documents that are converted to YAML at the same time; others wait. It is
	// enough for one of the largest.
	yamlMemory = 16 << 20
)

// memoryLimit bounds the memory of what runs at the same time. Organisations take turns.
type memoryLimit struct{ queue *fairqueue.Queue }

func newMemoryLimit(bytes int64) memoryLimit { return memoryLimit{fairqueue.New(bytes, bytes)} }

// do calls work, which takes so many bytes, as soon as they are free, if the request is still admitted then. It waits
// for nothing if they are 0.
func (l memoryLimit) do(ctx context.Context, bytes int64, work func() error) error {
	if bytes > 0 {
		release, err := l.queue.Acquire(ctx, bytes)
		if err != nil {
			return err
		}
		defer release()
		if err := admitWaiting(ctx); err != nil {
			return err
		}
	}
	return work()
}

// errBusy is returned for a request that has waited for maxBodyWait.
var errBusy = errors.New("too many large bodies at the same time")

// bodyReader reads request bodies that are not imports.
type bodyReader struct {
	timeout time.Duration // as httpbody.Limits has it
	depth   int           // maximum nesting of JSON
	// decoding limits the bodies that are decoded at the same time. It is acquired when a body has been received, so that
	// no request waits for the client of another one.
	decoding memoryLimit
	// parsed limits the bodies of requests that are being served.
	parsed *fairqueue.Queue
	// storing limits the APIs and policies that are stored at the same time, and converting the documents that are
	// converted to YAML, which so do not wait for the database.
	storing, converting memoryLimit
}

func newBodyReader(limits Limits) *bodyReader {
	return &bodyReader{
		timeout: limits.BodyTimeout, depth: limits.Depth, decoding: newMemoryLimit(decodingMemory),
		parsed:  fairqueue.New(parsedMemory, parsedMemoryOfOne),
		storing: memoryLimit{fairqueue.New(documentMemory, documentMemoryOfOne)}, converting: newMemoryLimit(yamlMemory),
	}
}

// read receives, decodes and parses a body, and validates it with the function. It ignores the Content-Type: clients
// send JSON as a form, as text, or without a type (docs/behaviour.md#conventions).
func (b *bodyReader) read(c echo.Context, rules *contract.Body, validate func([]byte) error) (parsed body, err error) {
	limits := httpbody.Limits{Bytes: maxBytesOf(rules), Timeout: b.timeout}
	received, err := httpbody.Receive(c.Response(), c.Request(), limits)
	if err != nil {
		return body{}, err
	}
	r := requestOf(c)
	if r.memory, err = b.hold(r.Context(), received.MaxSize()); err != nil {
		return body{}, err
	}
	err = b.decoding.do(r.Context(), memoryOf(received, rules), func() error {
		raw, err := received.Decode()
		if err != nil {
			return err
		}
		parsed, err = b.parse(raw, rules, c.Request().Header.Get(echo.HeaderContentType))
		if err != nil {
			return err
		}
		return validate(parsed.json)
	})
	if r.memory != nil {
		r.memory.Reduce(int64(len(parsed.json) + len(parsed.file)))
	}
	return parsed, err
}

// hold waits for the memory of a body of a size in bytes at most, which is reserved until the response. It returns nil
// for a small body.
func (b *bodyReader) hold(ctx context.Context, size int64) (*fairqueue.Reservation, error) {
	if size <= smallBody {
		return nil, nil
	}
	waiting, cancel := context.WithTimeoutCause(ctx, maxBodyWait, errBusy)
	defer cancel()
	memory, err := b.parsed.Reserve(waiting, size)
	if err != nil {
		return nil, context.Cause(waiting)
	}
	return memory, nil
}

// storeDocument calls store, which completes, checks and stores an API or a policy of a size in bytes at most, and
// returns its error. Large ones wait for one another. The request's body has been received before, so that no request
// waits for the client of another one.
func (b *bodyReader) storeDocument(ctx context.Context, size int, store func() error) error {
	memory := documentCopies * size
	if size <= smallBody {
		memory = 0
	}
	return b.storing.do(ctx, int64(memory), store)
}

// maxBytesOf returns how large a body may be in bytes.
func maxBytesOf(rules *contract.Body) int64 { return cmp.Or(rules.MaxBytes, maxBody) }

// valuesOf returns how many values a body may have.
func valuesOf(rules *contract.Body) int64 { return max(maxValues, rules.MaxBytes/bytesPerValue) }

// memoryOf returns the memory that decoding and parsing a body takes of decodingMemory. It is 0 for a small body.
func memoryOf(received httpbody.Received, rules *contract.Body) int64 {
	const copies, minValue = 2, 2 // parsing copies the body, and a value has at least one byte beside its separator
	size, perValue := received.MaxSize(), int64(valueMemory)
	switch {
	case mayBeYAML(rules):
		perValue = yamlValueMemory
	case size <= smallBody:
		return 0
	}
	return received.Memory() + copies*size + perValue*min(size/minValue, valuesOf(rules))
}

// parse parses a decoded body that was sent with a Content-Type.
func (b *bodyReader) parse(raw []byte, rules *contract.Body, contentType string) (body, error) {
	switch rules.MediaType {
	case echo.MIMEApplicationForm:
		return parseForm(raw)
	case echo.MIMEMultipartForm:
		return parseFile(raw)
	}
	if isYAML(raw, rules, contentType) {
		converted, err := fromYAML(raw, rules)
		if err != nil {
			return body{}, err
		}
		raw = converted
	}
	limits := jsondoc.Limits{Depth: b.depth, Values: int(valuesOf(rules))}
	compact, err := jsondoc.Normalise(raw, limits)
	if err == nil && rules.AnyCaseNames != nil {
		compact, err = jsondoc.Normalise(rules.CanonicalNames(compact), limits) // names may be equal now
	}
	if err != nil {
		return body{}, malformedAt("", err.Error(), err)
	}
	return body{json: compact}, nil
}

// mediaYAML is the media type of YAML in the contracts.
const mediaYAML = "application/x-yaml"

// asksForYAML reports whether a header names YAML, by any of its media types.
func asksForYAML(header string) bool { return strings.Contains(strings.ToLower(header), "yaml") }

// mayBeYAML reports whether the contract declares YAML for a body.
func mayBeYAML(rules *contract.Body) bool { return slices.Contains(rules.Alternatives, mediaYAML) }

// isYAML reports whether a body is to be read as YAML, which includes JSON. Clients send YAML with any Content-Type, or
// none: only what begins as an object of JSON, and is not said to be YAML, is JSON for certain.
func isYAML(raw []byte, rules *contract.Body, contentType string) bool {
	if !mayBeYAML(rules) {
		return false
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(raw, []byte("\ufeff")), " \t\r\n")
	return !bytes.HasPrefix(text, []byte("{")) || asksForYAML(contentType) && !json.Valid(text)
}

// fromYAML returns a YAML body as JSON.
func fromYAML(raw []byte, rules *contract.Body) ([]byte, error) {
	converted, err := oas.FromYAML(raw)
	if fault, ok := errors.AsType[*oas.Error](err); ok {
		return nil, malformedAt(fault.Pointer, fault.Message, err)
	}
	if err == nil && int64(len(converted)) > maxBytesOf(rules) {
		err = httpbody.ErrTooLarge
	}
	return converted, err
}

// parseForm parses a form, in which the last of repeated fields counts, as in JSON.
func parseForm(raw []byte) (body, error) {
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return body{}, malformedAt("", "is not a form", err)
	}
	for name, values := range form {
		form[name] = values[len(values)-1:]
	}
	return body{json: json.RawMessage(form.Encode()), form: form}, nil
}

// pemBegin is the beginning of a file in PEM.
const pemBegin = "-----BEGIN "

// parseFile returns the file in a form: the first part that has a file name, or else the first part. The form is not
// known by its Content-Type, but by its first line. A body that is a file in PEM is that file: curl sends it so with
// --data-binary.
func parseFile(raw []byte) (body, error) {
	if bytes.HasPrefix(raw, []byte(pemBegin)) {
		return body{file: raw}, nil
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	boundary, found := strings.CutPrefix(strings.TrimRight(string(line), "\r"), "--")
	if !found || boundary == "" {
		return body{}, errNoFile
	}
	return fileOf(multipart.NewReader(bytes.NewReader(raw), boundary))
}

// errNoFile is returned without its cause, which may quote the file.
var errNoFile = malformedAt("", "is not a form with a file", nil)

// fileOf returns the file in the parts of a form.
func fileOf(parts *multipart.Reader) (body, error) {
	var first []byte
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && first != nil {
			return nonEmptyFile(first)
		}
		if err != nil {
			return body{}, errNoFile
		}
		content, err := io.ReadAll(part)
		switch {
		case err != nil:
			return body{}, errNoFile
		case part.FileName() != "":
			return nonEmptyFile(content)
		case first == nil:
			first = content
		}
	}
}

func nonEmptyFile(file []byte) (body, error) {
	if len(bytes.TrimSpace(file)) == 0 {
		return body{}, httpbody.ErrEmpty
	}
	return body{file: file}, nil
}

// validate validates the parameters of a request, and its body unless that is nil.
func validate(c echo.Context, op *contract.Operation, body []byte) error {
	r := contract.Request{HTTP: c.Request(), PathParams: map[string]string{}, Query: c.QueryParams(), Body: body}
	for i, name := range c.ParamNames() {
		r.PathParams[name] = pathParam(c, i)
	}
	return op.Validate(r)
}

// nulProblems lists where a body that Postgres refused has a NUL character, which it cannot store.
func nulProblems(raw json.RawMessage) []contract.Problem {
	var problems []contract.Problem
	for _, m := range jsondoc.Members(raw) {
		if bytes.Contains(m.Value, []byte(`\u0000`)) {
			problems = append(problems, contract.Problem{Path: contract.Pointer(m.Name), Reason: "has a NUL"})
		}
	}
	if problems == nil {
		problems = []contract.Problem{{Reason: "has a value that cannot be stored"}}
	}
	return problems[:min(len(problems), contract.MaxProblems)]
}
