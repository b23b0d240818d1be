package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// readFile returns the content of a text file.
func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(content)
}

// step is a block of shell commands in a README, and the output that the README shows after it ("" if it shows none).
type step struct{ commands, output string }

var codeBlock = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// stepsOf returns the steps of a Markdown text: the blocks of the language sh, each with the next block if that is of
// another language. Blocks of the language console are for readers only.
func stepsOf(markdown string) (steps []step) {
	for _, block := range codeBlock.FindAllStringSubmatch(markdown, -1) {
		switch language, text := block[1], block[2]; language {
		case "console":
		case "sh":
			steps = append(steps, step{commands: text})
		default:
			steps[len(steps)-1].output = strings.TrimSpace(text)
		}
	}
	return steps
}

// endOfStep is printed after the output of each step.
const endOfStep = "\x1e\n"

// runSteps runs steps in one POSIX shell, as their reader does, after setup. It returns the output of each step that
// came to its end, what was printed after those, and an error if the shell ended early.
func runSteps(t *testing.T, setup string, steps []step) (outputs []string, rest string, err error) {
	t.Helper()
	return runStepsWithin(t, bound, setup, steps)
}

// runStepsWithin is runSteps for steps that take longer.
func runStepsWithin(
	t *testing.T, limit time.Duration, setup string, steps []step,
) (outputs []string, rest string, err error) {
	t.Helper()
	var script strings.Builder
	script.WriteString(setup)
	for _, each := range steps {
		script.WriteString(each.commands + "printf '\\036\\n'\n")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script.String())
	cmd.Dir = t.TempDir()                                                  // for files that a step makes
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { // of the make that runs the tests
		return strings.HasPrefix(variable, "MAKE") || strings.HasPrefix(variable, "MFLAGS=")
	})
	printed, err := cmd.CombinedOutput()
	outputs = strings.Split(string(printed), endOfStep)
	last := len(outputs) - 1
	return outputs[:last], outputs[last], err
}

// requireOutputs checks that the outputs of steps are those that the README shows, in which … stands for any text.
func requireOutputs(t *testing.T, steps []step, outputs []string) {
	t.Helper()
	require.Len(t, outputs, len(steps))
	for i, each := range steps {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(each.output), "…", `[^"]+`)
		require.Regexp(t, "^"+pattern+"\n?$", outputs[i], each.commands)
	}
}
