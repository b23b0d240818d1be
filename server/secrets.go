package server

import (
	"crypto/sha256"
	"crypto/subtle"

	"gatehouse/apiserver"
)

// Secrets are what clients of /admin and gateways authenticate with. The second ones are "" unless the secrets are
// being changed: both are valid then.
type Secrets struct {
	Admin, SecondAdmin string
	Node, SecondNode   string
}

// secretDigests are the SHA-256 of the secrets that are valid for a security scheme, the first secret first.
type secretDigests [][sha256.Size]byte

func digestsOf(secrets ...string) (digests secretDigests) {
	for _, secret := range secrets {
		if secret != "" {
			digests = append(digests, sha256.Sum256([]byte(secret)))
		}
	}
	return digests
}

// knownSecrets are the digests of Secrets. They are replaced as a whole, so that a request sees either the old ones or
// the new ones.
type knownSecrets struct{ admin, node secretDigests }

func knownOf(secrets Secrets) *knownSecrets {
	return &knownSecrets{
		admin: digestsOf(secrets.Admin, secrets.SecondAdmin), node: digestsOf(secrets.Node, secrets.SecondNode),
	}
}

// secretNumber is 1 for a first secret, 2 for a second one, and 0 for none.
type secretNumber int

// checkSecret returns the number of the secret that a credential is. It compares SHA-256 digests in constant time, so
// that the duration reveals neither the secret nor its length.
func checkSecret(credential string, digests secretDigests) (secretNumber, error) {
	sum, number := sha256.Sum256([]byte(credential)), 0
	for i, digest := range digests {
		number = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], digest[:]), i+1, number)
	}
	if number == 0 {
		return 0, apiserver.ErrUnauthorised
	}
	return secretNumber(number), nil
}
