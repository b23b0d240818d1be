// Package testprogram finds the programs that tests start.
package testprogram

import (
	"os"
	"os/exec"
	"testing"
)

// Need returns the path of a program, or of the first of others that do as well. Without any, the test ends as Missing
// says.
func Need(t testing.TB, program string, others ...string) string {
	t.Helper()
	for _, name := range append([]string{program}, others...) {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, program)
	return ""
}

// Missing skips a test for want of something, with a message that begins with "SKIPPED: needs", which make test repeats
// at its end. In CI (CI=true), where nothing is missing, it fails the test instead.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("SKIPPED: needs %s", what)
}
