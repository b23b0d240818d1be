package logging

import (
	"fmt"
	"os"
	"sync"
)

// logFileMode lets the owner write and the group read a log file: it has addresses and IDs of users, but no secrets.
const logFileMode = 0o640

// File is a log file that a program such as logrotate may rename: Reopen then creates it anew. Its methods may be
// called concurrently.
type File struct {
	path string
	mu   sync.Mutex // guards file, for the time of a write or of a change of files
	file *os.File
}

// OpenFile opens a file to append to, and creates it if there is none.
func OpenFile(path string) (*File, error) {
	file, err := openLog(path)
	if err != nil {
		return nil, err
	}
	return &File{path: path, file: file}, nil
}

func openLog(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, logFileMode)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	return file, nil
}

// Write implements io.Writer. A line is one call, and one write of the operating system.
func (f *File) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(line)
}

// Reopen opens the path of the file again, and closes what was open. If it fails, the file that is open stays in use.
func (f *File) Reopen() error {
	file, err := openLog(f.path)
	if err != nil {
		return err
	}
	f.mu.Lock()
	old := f.file
	f.file = file
	f.mu.Unlock()
	return old.Close()
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
