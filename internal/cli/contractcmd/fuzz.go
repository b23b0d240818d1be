package contractcmd

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"

	"gatehouse/conformance"
)

// randomSeed returns a seed for a run that names none.
func randomSeed() uint64 {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return binary.NativeEndian.Uint64(random[:])
}

// fuzzing is what generated requests are sent to, and where their failures go.
type fuzzing struct {
	runner  *conformance.Runner
	options conformance.Options
	report  *conformance.Report
	out     io.Writer
}

// run sends generated requests, and adds what became of them to the report.
func (o *fuzzOptions) run(ctx context.Context, f fuzzing) error {
	fmt.Fprintf(f.out, "Sending generated requests for %s (--seed %d)\n", o.Duration, o.Seed)
	found, err := conformance.Fuzz(ctx, f.runner, conformance.FuzzOptions{
		Options: f.options, Seed: o.Seed, Duration: o.Duration,
	})
	if err != nil {
		return err
	}
	f.report.Fuzz = found
	return nil
}
