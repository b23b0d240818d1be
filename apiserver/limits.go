package apiserver

import "time"

// Limits bound what a request may take. All must be positive.
type Limits struct {
	// Depth is how deep JSON in a body may nest.
	Depth int
	// BodyTimeout is how long a client may take to send the next 64 KiB of its body, or to receive the next 64 KiB of a
	// list.
	BodyTimeout time.Duration
	// Upload is the maximum size in bytes of a body that Elements reads, unless its operation has x-max-body, and Element
	// that of an element. Another body may have 256 KiB, unless its operation has x-max-body.
	Upload  int64
	Element int
}

// DefaultLimits returns limits for ordinary objects and networks.
func DefaultLimits() Limits {
	const depth, seconds, upload, element = 100, 30, 16 << 20, 256 << 10
	return Limits{Depth: depth, BodyTimeout: seconds * time.Second, Upload: upload, Element: element}
}

func (l Limits) valid() bool {
	return l.Depth > 0 && l.BodyTimeout > 0 && l.Upload > 0 && l.Element > 0
}
