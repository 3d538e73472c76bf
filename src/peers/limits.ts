/** The numbers of the links between replicas, and what happens at each. */

/** The stream on which links run, beside etcd's services on the client URLs. */
export const linkPath = '/plinth.Replica/Link';

/** A replica says that it lives at least so often … */
export const linkBeatMs = 250;
/** … and is asked nothing once it was silent for so long. */
export const linkSilentMs = 1000;

/** How often a replica renews its entry in the directory, and how old an entry may be. */
export const directoryBeatMs = 5000;
export const directoryLiveMs = 15_000;

/** Links that one replica accepts. Above: refused; the replica that asked follows the log by itself. */
export const linksMax = 64;
/** Answers that a linked replica has not read. Above: the link ends, and that replica looks into the log. */
export const unreadAnswerBytesMax = 64 * 1024 * 1024;
/** Of a message of the handshake: who sends it is not known yet … */
export const handshakeBytesMax = 64 * 1024;
/** … and of what comes over a link, where one batch of the log is the most. */
export const linkMessageBytesMax = 1024 * 1024 * 1024;
/** Time for a dialer to prove itself. Then: the stream ends. */
export const acceptTimeoutMs = 5000;
