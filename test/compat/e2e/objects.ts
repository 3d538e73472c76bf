/** The Kubernetes objects that the checks create. */
export const namespace = 'plinth-e2e';

export interface Meta {
  readonly name: string;
  readonly namespace?: string;
  readonly resourceVersion: string;
}

export interface List {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly { readonly metadata: Meta; readonly data?: Readonly<Record<string, string>> }[];
}

export const configMap = (name: string, data: Readonly<Record<string, string>>): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace },
  data,
});

export const configMapList = (names: readonly string[]): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'List', items: names.map((name) => configMap(name, { round: '0' })) });

export const secret = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace },
  stringData: { of: name },
});

export const widgetDefinition = JSON.stringify({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.dev' },
  spec: {
    group: 'example.dev',
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { spec: { type: 'object', properties: { size: { type: 'integer', minimum: 1 } } } },
          },
        },
      },
    ],
  },
});

export const widgetList = (sizes: readonly number[]): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: sizes.map((size) => ({
      apiVersion: 'example.dev/v1',
      kind: 'Widget',
      metadata: { name: `widget-${size}`, namespace },
      spec: { size },
    })),
  });

/** `name-000` … */
export const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${String(index).padStart(3, '0')}`);
