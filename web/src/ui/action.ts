import { type UseMutationResult, useMutation, useQueryClient } from '@tanstack/react-query'

/**
 * Something that changes the server. Afterwards everything is read anew whose key begins with one of `topics`, as the stream
 * of changes may be cut.
 */
export function useAction<Input, Output>(
  act: (input: Input) => Promise<Output>,
  topics: string[],
  done?: (output: Output, input: Input) => void,
): UseMutationResult<Output, Error, Input> {
  const client = useQueryClient()
  return useMutation({
    mutationFn: act,
    onSuccess: (output, input) => {
      for (const topic of topics) void client.invalidateQueries({ queryKey: [topic] })
      done?.(output, input)
    },
  })
}
