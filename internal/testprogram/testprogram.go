// Package testprogram finds the programs that tests start.
package testprogram

import (
	"os"
	"os/exec"
	"testing"
)

// Need returns the path of a program. Without the program it skips the test with a message that begins with
// "SKIPPED: needs", which make test repeats at its end. In CI (CI=true), where every program is installed, it fails the
// test instead.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s: %v", program, err)
	}
	t.Skipf("SKIPPED: needs %s", program)
	return ""
}
