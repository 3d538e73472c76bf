/** The etcd whose behaviour this is. Clients choose features by it, so it is raised only with the behaviour. */
export const serverVersion = '3.7.3';
/** As in the answers to Downgrade. */
export const clusterVersion = '3.7';
export const storageVersion = '3.7.0';
