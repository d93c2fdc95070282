class CreateStock < ActiveRecord::Migration[6.1]
  def change
    create_table :stock
  end
end
