// Package nomain has no TestMain.
package nomain

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/pgtest"
)

// recorder is a test that has failed when Fatal was called.
type recorder struct {
	testing.TB

	said string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatal(args ...any) {
	r.said = fmt.Sprint(args...)
	runtime.Goexit()
}

// TestWithoutMain: a test package that does not call Main is told so, and makes no database in the Postgres that the
// environment names for other programs.
func TestWithoutMain(t *testing.T) {
	t.Parallel()
	for _, use := range []func(testing.TB){
		func(t testing.TB) { pgtest.Database(t) },
		func(t testing.TB) { pgtest.EmptyDatabase(t) },
	} {
		r, ended := &recorder{TB: t}, make(chan struct{})
		go func() {
			defer close(ended)
			use(r)
		}()
		<-ended
		require.Contains(t, r.said, "TestMain has to call pgtest.Main")
	}
}
