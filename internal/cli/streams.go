package cli

import "io"

// Streams are the outputs of the program: Out has what the user asked for, Log has the log and errors.
type Streams struct{ Out, Log io.Writer }
