package gatewaytest

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/redis/go-redis/v9"
)

const (
	// noticeChannel has no key prefix (facts §5).
	noticeChannel     = "tyk.cluster.notifications"
	noticeGroupReload = "GroupReload"
	noticeKeySpace    = "KeySpaceUpdateNotification"
	noticePurge       = "OAuthPurgeLapsedTokens"
)

// What a gateway does not do about a notice, and why.
const (
	ReasonMalformed = "malformed"
	ReasonSignature = "Payload signature is invalid!"
	ReasonUnknown   = "unknown command"
)

// Notice is one message of the channel as the gateway understood it.
type Notice struct {
	Command  string
	Payload  string
	Accepted bool
	Reason   string // why it was ignored; empty if it was accepted
	Raw      string
}

// notification is the message on the wire. Algorithm is Go's crypto.Hash: a number (facts §0.7).
type notification struct {
	Command   string      `json:"command"`
	Payload   string      `json:"payload"`
	Signature string      `json:"signature"`
	Algorithm crypto.Hash `json:"algorithm"`
}

// listen hears notices for as long as the process lives. When its Redis is gone it looks again after a pause, as a gateway
// does: a Redis that is back earlier has a channel that nobody listens to.
func (p *process) listen() {
	for p.ctx.Err() == nil {
		p.hear()
		p.subscribed.Store(false)
		pause(p.ctx, p.cfg.RedisPause)
	}
}

// hear hears notices until the connection breaks.
func (p *process) hear() {
	channel := p.store.redis.Subscribe(p.ctx, noticeChannel)
	defer func() { _ = channel.Close() }()
	// Receive does not heed its context while it reads.
	defer context.AfterFunc(p.ctx, func() { _ = channel.Close() })()
	for {
		message, err := channel.Receive(p.ctx)
		if err != nil {
			return
		}
		switch message := message.(type) {
		case *redis.Subscription:
			p.subscribed.Store(true)
		case *redis.Message:
			p.notice(message.Payload)
		}
	}
}

func (p *process) notice(raw string) {
	var n notification
	reason := ""
	switch {
	case json.Unmarshal([]byte(raw), &n) != nil:
		reason = ReasonMalformed
	case n.Algorithm != crypto.SHA256 || n.Signature != p.sign(n.Command, n.Payload):
		reason = ReasonSignature
	case !p.obey(n):
		reason = ReasonUnknown
	}
	p.log.printf("notice %q: %s", raw, reason)
	p.notices.add(Notice{
		Command: n.Command, Payload: n.Payload, Accepted: reason == "", Reason: reason, Raw: raw,
	})
}

// obey does what the notice says; those without a case of their own have no effect on what the stand-in models.
func (p *process) obey(n notification) (known bool) {
	switch n.Command {
	case "ApiUpdated", "ApiRemoved", "ApiAdded", "PolicyChanged", noticeGroupReload:
		p.askReload()
	case noticeKeySpace:
		for key := range strings.SplitSeq(n.Payload, ",") {
			p.sessions.drop(strings.TrimSuffix(key, ":hashed"))
		}
	case noticePurge:
		p.purges.Add(1)
	case "DeleteAPICache", "InvalidateJWKSCacheForAPI", "UserKeyReset", "NoticeConfigUpdated",
		"NoticeDashboardZeroConf":
	default:
		return false
	}
	return true
}

// sign is hex(sha256(command+payload+node_secret)) (facts §5).
func (p *process) sign(command, payload string) string {
	sum := sha256.Sum256([]byte(command + payload + p.cfg.NodeSecret))
	return hex.EncodeToString(sum[:])
}

// publish tells all gateways of this Redis, this one included. Without Redis there is nobody to tell.
func (p *process) publish(ctx context.Context, command, payload string) {
	if p.store.redis == nil {
		return
	}
	message, err := json.Marshal(notification{command, payload, p.sign(command, payload), crypto.SHA256})
	if err != nil {
		return
	}
	if err := p.store.redis.Publish(ctx, noticeChannel, message).Err(); err != nil {
		p.log.printf("cannot publish %s: %v", command, err)
	}
}
