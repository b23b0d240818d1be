package testprogram_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

const missingProgram = "gatehouse-no-such-program"

func TestNeed(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, testprogram.Need(t, "go"))
}

// TestMissing does nothing unless the tests below run it, in a process of its own.
func TestMissing(t *testing.T) {
	t.Parallel()
	if os.Getenv("GATEHOUSE_TEST_MISSING") != "" {
		testprogram.Need(t, missingProgram)
	}
}

func runMissing(t *testing.T, ci string) (output string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestMissing$", "-test.v")
	cmd.Env = append(os.Environ(), "GATEHOUSE_TEST_MISSING=1", "CI="+ci)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func TestMissingProgramSkips(t *testing.T) {
	t.Parallel()
	output, err := runMissing(t, "")
	require.NoError(t, err, output)
	require.Contains(t, output, "SKIPPED: needs "+missingProgram)
	require.Contains(t, output, "--- SKIP: TestMissing")
}

func TestMissingProgramFailsInCI(t *testing.T) {
	t.Parallel()
	output, err := runMissing(t, "true")
	require.Error(t, err, output)
	require.Contains(t, output, "--- FAIL: TestMissing")
	require.Contains(t, output, missingProgram)
}
