package apiserver

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/httpbody"
	"gatehouse/internal/fairqueue"
	"gatehouse/internal/jsondoc"
)

const (
	// maxBody is the maximum size in bytes of a body that is not read by its handler, unless its operation has
	// x-max-body. Most objects have a few hundred bytes.
	maxBody = 256 << 10
	// maxValues bounds the values in a body, because a value takes memory whatever its size. A body that may be larger
	// than others may have a value for each bytesPerValue: long documents have one for each 25 to 40.
	maxValues     = 50_000
	bytesPerValue = 20
	// valueMemory is the memory in bytes that parsing a value takes at most: its name, and where the name is.
	valueMemory = 150
	// smallBody is the size in bytes up to which a body that is neither compressed nor converted is decoded at once. The
	// memory that it takes is that of a connection.
	smallBody = 16 << 10
	// decodingMemory bounds the memory in bytes of larger bodies that are decoded at the same time; others wait. It is
	// enough for one of the largest: they take a few hundredths of a second each.
	decodingMemory = 16 << 20
	// parsedMemory bounds the memory in bytes of larger bodies from when they are decoded until the response, and
	// parsedMemoryOfOne that of a party's; others wait, as the client has encoded them. It is enough for eight of the
	// largest.
	parsedMemory      = 32 << 20
	parsedMemoryOfOne = parsedMemory / 2
	// maxBodyWait is how long a body waits for that.
	maxBodyWait = 10 * time.Second
)

// Conversion converts bodies of another media type, which a contract declares besides JSON, into JSON.
type Conversion struct {
	// Applies reports whether to convert a body that was sent with a Content-Type. Otherwise it is read as JSON. nil
	// converts the bodies that were sent with the media type.
	Applies func(body []byte, contentType string) bool
	// Convert returns a body as JSON. An error should be a *MalformedError.
	Convert func(body []byte) ([]byte, error)
	// ValueMemory is the memory in bytes that the conversion takes at most for a value.
	ValueMemory int64
}

// errBusy is returned for a request that has waited for maxBodyWait.
var errBusy = errors.New("too many large bodies at the same time")

// bodyReader reads request bodies that are not read by their handlers.
type bodyReader struct {
	timeout     time.Duration // as httpbody.Limits has it
	depth       int           // maximum nesting of JSON
	conversions map[string]Conversion
	// decoding limits the bodies that are decoded at the same time. It is acquired when a body has been received, so that
	// no request waits for the client of another one.
	decoding MemoryLimit
	// parsed limits the bodies of requests that are being served.
	parsed *fairqueue.Queue
}

func newBodyReader(limits Limits, conversions map[string]Conversion) *bodyReader {
	return &bodyReader{
		timeout: limits.BodyTimeout, depth: limits.Depth, conversions: conversions,
		decoding: NewMemoryLimit(decodingMemory, decodingMemory),
		parsed:   fairqueue.New(parsedMemory, parsedMemoryOfOne),
	}
}

// read receives, decodes, parses and validates a body. It ignores the Content-Type, unless the contract declares
// several media types: clients send JSON as a form, as text, or without a type. The memory that it returns, nil for a
// small body, must be released after the response, even if there is an error.
func (b *bodyReader) read(
	ctx context.Context, c echo.Context, rules *contract.Body, validate func([]byte) error,
) (parsed Body, memory *fairqueue.Reservation, err error) {
	limits := httpbody.Limits{Bytes: maxBytesOf(rules), Timeout: b.timeout}
	received, err := httpbody.Receive(c.Response(), c.Request(), limits)
	if err != nil {
		return Body{}, nil, err
	}
	if memory, err = b.hold(ctx, received.MaxSize()); err != nil {
		return Body{}, nil, err
	}
	err = b.decoding.Do(ctx, b.memoryOf(received, rules), func() error {
		raw, err := received.Decode()
		if err != nil {
			return err
		}
		parsed, err = b.parse(raw, rules, c.Request().Header.Get(echo.HeaderContentType))
		if err != nil {
			return err
		}
		return validate(parsed.JSON)
	})
	if memory != nil {
		memory.Reduce(int64(len(parsed.JSON) + len(parsed.File) + len(parsed.Text)))
	}
	return parsed, memory, err
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

// maxBytesOf returns how large a body may be in bytes.
func maxBytesOf(rules *contract.Body) int64 { return cmp.Or(rules.MaxBytes, maxBody) }

// valuesOf returns how many values a body may have.
func valuesOf(rules *contract.Body) int64 { return max(maxValues, rules.MaxBytes/bytesPerValue) }

// memoryOf returns the memory that decoding and parsing a body takes of decodingMemory. It is 0 for a small body.
func (b *bodyReader) memoryOf(received httpbody.Received, rules *contract.Body) int64 {
	const copies, minValue = 2, 2 // parsing copies the body, and a value has at least one byte beside its separator
	size, perValue := received.MaxSize(), int64(0)
	for _, mediaType := range rules.Alternatives {
		perValue = max(perValue, b.conversions[mediaType].ValueMemory)
	}
	if perValue == 0 && size <= smallBody {
		return 0
	}
	perValue = cmp.Or(perValue, valueMemory)
	return received.Memory() + copies*size + perValue*min(size/minValue, valuesOf(rules))
}

// parse parses a decoded body that was sent with a Content-Type.
func (b *bodyReader) parse(raw []byte, rules *contract.Body, contentType string) (Body, error) {
	switch rules.MediaType {
	case echo.MIMEApplicationForm:
		return parseForm(raw)
	case echo.MIMEMultipartForm:
		return parseFile(raw)
	case echo.MIMETextPlain:
		return parseText(raw)
	}
	raw, err := b.convert(raw, rules, contentType)
	if err != nil {
		return Body{}, err
	}
	limits := jsondoc.Limits{Depth: b.depth, Values: int(valuesOf(rules))}
	compact, err := jsondoc.Normalise(raw, limits)
	if err == nil && rules.AnyCaseNames != nil {
		compact, err = jsondoc.Normalise(rules.CanonicalNames(compact), limits) // names may be equal now
	}
	if err != nil {
		return Body{}, MalformedAt("", err.Error(), err)
	}
	return Body{JSON: compact}, nil
}

// convert returns a body as JSON.
func (b *bodyReader) convert(raw []byte, rules *contract.Body, contentType string) ([]byte, error) {
	for _, mediaType := range rules.Alternatives {
		conversion, ok := b.conversions[mediaType]
		if !ok || !conversion.applies(raw, mediaType, contentType) {
			continue
		}
		converted, err := conversion.Convert(raw)
		if err == nil && int64(len(converted)) > maxBytesOf(rules) {
			err = httpbody.ErrTooLarge
		}
		return converted, err
	}
	return raw, nil
}

func (c Conversion) applies(raw []byte, mediaType, contentType string) bool {
	if c.Applies == nil {
		return mediaTypeOf(contentType) == mediaType
	}
	return c.Applies(raw, contentType)
}
