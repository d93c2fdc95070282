import type { PolicyDefinition } from '../../api/types.ts'

/** What the server says in English, by its stable codes. English leaves it to the server. */
export const said = {
  findings: {} as Record<
    string,
    (about: { app: string; policy?: string; repository: string; days?: number }) => string
  >,
  problems: {} as Record<string, string>,
  schedule: undefined as ((rule: NonNullable<PolicyDefinition['schedule']>) => string) | undefined,
  retention: undefined as ((rule: NonNullable<PolicyDefinition['retention']>) => string) | undefined,
}
