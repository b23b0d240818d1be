package postgres

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// libpqVariable matches the names of the environment variables that libpq has, such as PGOPTIONS.
var libpqVariable = regexp.MustCompile(`^PG[A-Z_]+$`)

// ClearEnvironment removes libpq's variables from the environment of this process. They are about another Postgres: the
// connection string of a private one cannot override all of them, such as PGSERVICE, PGOPTIONS and
// PGTARGETSESSIONATTRS. It is called before the first connection.
func ClearEnvironment() error {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !libpqVariable.MatchString(name) {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return fmt.Errorf("clear environment variable %s: %w", name, err)
		}
	}
	return nil
}
