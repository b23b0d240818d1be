package server

import (
	"context"

	"gatehouse/apiserver"
)

const (
	// smallDocument is the size in bytes up to which an API or a policy is stored at once.
	smallDocument = 16 << 10
	// documentCopies is how many copies of an API or a policy are in memory while it is completed, checked and stored.
	documentCopies = 8
	// documentMemory bounds the memory in bytes of larger ones that are stored at the same time, and documentMemoryOfOne
	// that of an organisation's, which may wait for rows in the database; others wait.
	documentMemory      = 32 << 20
	documentMemoryOfOne = documentMemory / 2
	// yamlMemory bounds the memory in bytes of documents that are converted to YAML at the same time; others wait. It is
	// enough for one of the largest.
	yamlMemory = 16 << 20
	// checkMemory bounds the memory in bytes of texts that are checked at the same time, and checkMemoryOfOne that of an
	// organisation's; others wait. A text of YAML with as many values as it may have takes more: one of them at a time.
	checkMemory      = 64 << 20
	checkMemoryOfOne = checkMemory / 2
)

// documentLimits bound the memory of the APIs and policies that are stored at the same time (storing), and of the
// documents that are converted to YAML (converting), and of the texts that are checked (checking), which so do not wait
// for the database.
type documentLimits struct{ storing, converting, checking apiserver.MemoryLimit }

func newDocumentLimits() documentLimits {
	return documentLimits{
		storing:    apiserver.NewMemoryLimit(documentMemory, documentMemoryOfOne),
		converting: apiserver.NewMemoryLimit(yamlMemory, yamlMemory),
		checking:   apiserver.NewMemoryLimit(checkMemory, checkMemoryOfOne),
	}
}

// store calls work, which completes, checks and stores an API or a policy of a size in bytes at most, and returns its
// error. Large ones wait for one another. The request's body has been received before, so that no request waits for
// the client of another one.
func (l documentLimits) store(ctx context.Context, size int, work func() error) error {
	memory := documentCopies * size
	if size <= smallDocument {
		memory = 0
	}
	return l.storing.Do(ctx, int64(memory), work)
}
